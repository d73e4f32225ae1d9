# Profile-guided optimisation; tools/pgo.py goes through both steps. BUCLE_PROFILE=generate makes an
# extension that counts what runs and writes that to BUCLE_PROFILE_DIR when its process ends,
# BUCLE_PROFILE=use compiles by it.
#
# Names in a profile are relative to the build folder, so that one serves pip's build, too. What the
# training did not reach is compiled as without a profile, not for size; a profile of other sources
# is an error. pybind11's stand elsewhere in pip's build, so what includes them has no profile.
if(NOT BUCLE_PROFILE)
  # as pip compiles the sources
elseif(NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU" OR CMAKE_CXX_COMPILER_VERSION VERSION_LESS 12)
  message(FATAL_ERROR "BUCLE_PROFILE needs g++ 12 or newer")
elseif(BUCLE_PROFILE STREQUAL "generate")
  set(bucle_profile_flags -fprofile-generate=${BUCLE_PROFILE_DIR})
elseif(BUCLE_PROFILE STREQUAL "use")
  set(bucle_profile_flags -fprofile-use=${BUCLE_PROFILE_DIR} -fprofile-correction
    -fprofile-partial-training -Wno-missing-profile)
else()
  message(FATAL_ERROR "BUCLE_PROFILE is generate or use, not ${BUCLE_PROFILE}")
endif()

function(bucle_use_profile target sources)
  if(BUCLE_PROFILE)
    list(APPEND bucle_profile_flags -fprofile-prefix-path=${CMAKE_BINARY_DIR})
    set_property(SOURCE ${sources} APPEND PROPERTY COMPILE_OPTIONS ${bucle_profile_flags})
    target_link_options(${target} PRIVATE ${bucle_profile_flags})
  endif()
  if(BUCLE_PROFILE STREQUAL "use")
    target_compile_definitions(${target} PRIVATE BUCLE_PROFILE_GUIDED=true)
  endif()
endfunction()
