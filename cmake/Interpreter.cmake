# Finds the interpreter that the module is for, its headers, and pybind11 in its site-packages.
#
# Free-threaded interpreters are refused here, before anything is compiled: the core relies on the
# GIL in every slot, and a module that imports and then races would be worse than none.
find_package(Python 3.11 COMPONENTS Interpreter REQUIRED)
execute_process(
  COMMAND "${Python_EXECUTABLE}" -c
    "import sysconfig as s; print(int(bool(s.get_config_var('Py_GIL_DISABLED'))), end='')"
  OUTPUT_VARIABLE free_threaded COMMAND_ERROR_IS_FATAL ANY)
if(free_threaded)
  message(FATAL_ERROR
    "bucle does not support free-threaded Python yet; build it for an interpreter with the GIL")
endif()

find_package(Python 3.11 COMPONENTS Interpreter Development.Module QUIET)
if(NOT Python_Development.Module_FOUND)
  message(FATAL_ERROR "bucle needs the headers of Python ${Python_VERSION}: "
    "apt install python${Python_VERSION_MAJOR}.${Python_VERSION_MINOR}-dev")
endif()

if(NOT pybind11_DIR)
  execute_process(
    COMMAND "${Python_EXECUTABLE}" -m pybind11 --cmakedir
    OUTPUT_VARIABLE found OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
  if(NOT failed)
    set(pybind11_DIR "${found}" CACHE PATH "pybind11's CMake package")
  endif()
endif()
set(PYBIND11_FINDPYTHON ON)
find_package(pybind11 3.0 CONFIG QUIET)
if(NOT pybind11_FOUND)
  message(FATAL_ERROR "bucle needs pybind11 3.0 or newer: "
    "${Python_EXECUTABLE} -m pip install 'pybind11>=3.0'")
endif()
