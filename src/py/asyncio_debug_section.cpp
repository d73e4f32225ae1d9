// See asyncio_debug_section.hpp.
#include "py/asyncio_debug_section.hpp"

#include "base/growable.hpp"

#include <cstdio>
#include <cstring>
#include <memory>

#if defined(__linux__) && defined(__LP64__)
#include <elf.h>

namespace bucle::py {
namespace {

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

bool read_at(std::FILE* file, std::uint64_t offset, void* out, std::size_t size) noexcept {
    return std::fseek(file, static_cast<long>(offset), SEEK_SET) == 0 &&
           std::fread(out, 1, size, file) == size;
}

} // namespace

bool read_asyncio_debug_offsets(const char* path, AsyncioDebugOffsets* out) noexcept {
    const File file(std::fopen(path, "rb"), std::fclose);
    Elf64_Ehdr header;
    if (!file || !read_at(file.get(), 0, &header, sizeof header) ||
        std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
        header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_shentsize != sizeof(Elf64_Shdr) ||
        header.e_shstrndx >= header.e_shnum) {
        return false;
    }
    base::Growable<Elf64_Shdr> sections;
    if (!sections.extend_to(header.e_shnum) ||
        !read_at(file.get(), header.e_shoff, sections.begin(),
                 sections.size() * sizeof(Elf64_Shdr))) {
        return false;
    }
    const Elf64_Shdr& strings = sections[header.e_shstrndx];
    base::Growable<char> names;
    if (!names.extend_to(strings.sh_size + 1) ||
        !read_at(file.get(), strings.sh_offset, names.begin(), strings.sh_size)) {
        return false;
    }
    for (const Elf64_Shdr& section : sections) {
        if (section.sh_name < strings.sh_size &&
            std::strcmp(names.begin() + section.sh_name, ".AsyncioDebug") == 0) {
            return section.sh_size >= sizeof *out &&
                   read_at(file.get(), section.sh_offset, out, sizeof *out);
        }
    }
    return false;
}

} // namespace bucle::py

#else

namespace bucle::py {

bool read_asyncio_debug_offsets(const char*, AsyncioDebugOffsets*) noexcept {
    return false;
}

} // namespace bucle::py

#endif
