# The compiler flags of the project's own sources, as one interface target `bucle_flags`.
#
# pybind11's pybind11_add_module() is not used: it would choose optimisation and visibility itself.
# -fno-semantic-interposition and -fno-plt matter for calls inside one shared object; no
# -march=native ever, a wheel runs on any CPU of its architecture.
add_library(bucle_flags INTERFACE)
target_compile_options(bucle_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow
  -fvisibility=hidden -fvisibility-inlines-hidden
  -fno-semantic-interposition -fno-plt -fno-math-errno)
# Symbols of static archives (libuv from source) must not leak out of _core.
target_link_options(bucle_flags INTERFACE
  -Wl,--exclude-libs,ALL -Wl,-z,relro -Wl,-z,now -Wl,--as-needed)

if(BUCLE_WERROR)
  target_compile_options(bucle_flags INTERFACE -Werror)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Debug")
  target_compile_definitions(bucle_flags INTERFACE _GLIBCXX_ASSERTIONS)
endif()
if(BUCLE_SANITIZE)
  # A report must end the process: a test that only prints one would pass.
  target_compile_options(bucle_flags INTERFACE
    -fsanitize=${BUCLE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(bucle_flags INTERFACE -fsanitize=${BUCLE_SANITIZE})
endif()
if(BUCLE_COVERAGE)
  target_compile_options(bucle_flags INTERFACE --coverage -O1 -fprofile-update=atomic)
  target_link_options(bucle_flags INTERFACE --coverage)
endif()

function(bucle_enable_lto target)
  if(BUCLE_LTO AND CMAKE_BUILD_TYPE STREQUAL "Release")
    include(CheckIPOSupported)
    check_ipo_supported(RESULT supported OUTPUT reason LANGUAGES CXX)
    if(supported)
      set_property(TARGET ${target} PROPERTY INTERPROCEDURAL_OPTIMIZATION ON)
    else()
      message(STATUS "no link-time optimisation: ${reason}")
    endif()
  endif()
endfunction()
