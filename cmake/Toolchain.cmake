# Finds a C++20 compiler, or says in one sentence what to install.
#
# The languages are enabled here and not by project(), whose own error for a missing compiler
# hides the cure. C is needed only where libuv itself is built from source.
include(CheckLanguage)
check_language(CXX)
if(NOT CMAKE_CXX_COMPILER)
  message(FATAL_ERROR "bucle needs a C++20 compiler: apt install g++")
endif()
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Release or Debug" FORCE)
endif()
enable_language(CXX)
if(BUCLE_LIBUV_SOURCE_DIR)
  enable_language(C)
endif()

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 11)
  message(FATAL_ERROR
    "bucle needs g++ 11 or newer, found ${CMAKE_CXX_COMPILER_VERSION}: apt install g++-12")
endif()
