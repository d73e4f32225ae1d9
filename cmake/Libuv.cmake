# Offers libuv as the target `bucle_uv`: the system's shared library, or a static build from source.
#
# Debian's libuv_a.a is not position-independent and cannot go into an extension, so a static link
# is possible only from source: -DBUCLE_LIBUV_SOURCE_DIR=<unpacked libuv>. Both: 1.44 or newer.
set(BUCLE_LIBUV_MINIMUM 1.44)
add_library(bucle_uv INTERFACE)

if(BUCLE_LIBUV_SOURCE_DIR)
  if(NOT EXISTS "${BUCLE_LIBUV_SOURCE_DIR}/include/uv/version.h")
    message(FATAL_ERROR "BUCLE_LIBUV_SOURCE_DIR=${BUCLE_LIBUV_SOURCE_DIR} is not libuv's source")
  endif()
  set(LIBUV_BUILD_TESTS OFF CACHE BOOL "" FORCE)
  set(LIBUV_BUILD_BENCH OFF CACHE BOOL "" FORCE)
  set(LIBUV_BUILD_SHARED OFF CACHE BOOL "" FORCE)
  # libuv declares policies of an older CMake; its option()s must still see what is set above, and
  # CMake 4 refuses to go that far back unless told to.
  set(CMAKE_POLICY_DEFAULT_CMP0077 NEW)
  set(CMAKE_POLICY_VERSION_MINIMUM 3.5)
  set(CMAKE_POSITION_INDEPENDENT_CODE ON)
  add_subdirectory("${BUCLE_LIBUV_SOURCE_DIR}" "${CMAKE_BINARY_DIR}/libuv" EXCLUDE_FROM_ALL SYSTEM)
  set_target_properties(uv_a PROPERTIES POSITION_INDEPENDENT_CODE ON C_VISIBILITY_PRESET hidden)
  target_link_libraries(bucle_uv INTERFACE uv_a)
else()
  find_package(PkgConfig QUIET)
  if(NOT PkgConfig_FOUND)
    message(FATAL_ERROR "bucle finds libuv by pkg-config, which is missing: apt install pkg-config")
  endif()
  pkg_check_modules(LIBUV QUIET IMPORTED_TARGET libuv>=${BUCLE_LIBUV_MINIMUM})
  if(NOT LIBUV_FOUND)
    message(FATAL_ERROR
      "bucle needs libuv ${BUCLE_LIBUV_MINIMUM} or newer with its headers: apt install libuv1-dev")
  endif()
  target_link_libraries(bucle_uv INTERFACE PkgConfig::LIBUV)
endif()
