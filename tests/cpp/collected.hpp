// What an EpollSet finds ready now, as a map from descriptor to mask.
#pragma once

#include <map>

#include "loop/epoll_set.hpp"

namespace bucle::test {

using Ready = std::map<int, unsigned>;

inline Ready collected(loop::EpollSet& set) {
    loop::EpollSet::Batch batch;
    Ready result;
    if (set.wait(batch, 0) == 0) {
        for (int i = 0; i != batch.count; ++i) {
            const loop::EpollSet::Event event = set.resolve(batch.events[i]);
            if (event.mask != 0) {
                result[event.fd] |= event.mask;
            }
        }
    }
    return result;
}

} // namespace bucle::test
