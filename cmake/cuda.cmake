# libwavemill_cuda.so: the .cu files, compiled by nvcc one command each. CMake's own CUDA language is left alone: its
# compiler check links programs, which fails with toolkits that work for a module, and it would be needed everywhere.
set(WAVEMILL_CUDA AUTO CACHE STRING "build libwavemill_cuda.so: AUTO where a CUDA toolkit is found, ON or OFF")
set_property(CACHE WAVEMILL_CUDA PROPERTY STRINGS AUTO ON OFF)
set(WAVEMILL_CUDA_TARGETS default CACHE STRING "GPUs it has code for: default (sm_90a;compute_90), all, or a list like that")
set(WAVEMILL_CUDA_ROOT "" CACHE PATH "the CUDA toolkit to take; empty: \$CUDA_HOME, \$CUDACXX, PATH, /usr/local/cuda, .deps/cuda")
include(${CMAKE_CURRENT_LIST_DIR}/cuda_toolkit.cmake)

# Newer GPUs than these run the PTX, which is why it is compute_90 and not 90a.
set(WAVEMILL_CUDA_CODE ${WAVEMILL_CUDA_TARGETS})
if(WAVEMILL_CUDA_TARGETS STREQUAL "default")
    set(WAVEMILL_CUDA_CODE sm_90a compute_90)
elseif(WAVEMILL_CUDA_TARGETS STREQUAL "all")
    set(WAVEMILL_CUDA_CODE sm_75 sm_80 sm_86 sm_89 sm_90a compute_90)
endif()
set(WAVEMILL_CUDA_GENCODE "")
foreach(code ${WAVEMILL_CUDA_CODE})
    if(NOT code MATCHES "^(sm|compute)_([0-9]+[a-z]?)$")
        message(FATAL_ERROR "WAVEMILL_CUDA_TARGETS: ${code} is neither sm_NUMBER nor compute_NUMBER")
    endif()
    list(APPEND WAVEMILL_CUDA_GENCODE -gencode arch=compute_${CMAKE_MATCH_2},code=${code})
endforeach()

# Whether this toolkit, with the host compiler that it finds, compiles for these targets. Tried once for each answer.
function(wavemill_cuda_compiles result)
    string(SHA256 key "${CUDA_NVCC} ${CUDA_VERSION} ${WAVEMILL_CUDA_GENCODE} $ENV{CUDAHOSTCXX} $ENV{NVCC_CCBIN}")
    if(NOT WAVEMILL_CUDA_COMPILES STREQUAL key)
        file(WRITE ${CMAKE_BINARY_DIR}/cuda_probe.cu "__global__ void probe() {}\n")
        execute_process(COMMAND ${CUDA_NVCC} ${WAVEMILL_NVCC_FLAGS} -c cuda_probe.cu -o cuda_probe.o
            WORKING_DIRECTORY ${CMAKE_BINARY_DIR} OUTPUT_VARIABLE said ERROR_VARIABLE said RESULT_VARIABLE status)
        if(NOT status EQUAL 0)
            set(${result} "${CUDA_NVCC} compiles nothing here: ${said}" PARENT_SCOPE)
            return()
        endif()
        set(WAVEMILL_CUDA_COMPILES ${key} CACHE INTERNAL "what cuda_probe.cu was compiled with")
    endif()
    set(${result} "" PARENT_SCOPE)
endfunction()

# Contraction stays on in kernels (nvcc's default): one rounding per multiply-add, as in the vector twins. -Wextra of C++
# refuses C that the same headers are written in (enumerators beside numbers, designated initializers that leave members
# out), so its useful parts are named; -Wshadow in full sees a constructor hidden by each function named as its struct.
set(WAVEMILL_NVCC_FLAGS ${WAVEMILL_CUDA_GENCODE} -std=c++17 -O3 -lineinfo -Werror all-warnings -Wno-deprecated-gpu-targets
    -Xptxas -v -Xcompiler -Wall,-Werror,-Wunused-parameter,-Wimplicit-fallthrough,-Wempty-body,-Wtype-limits
    -Xcompiler -Wformat=2,-Wvla,-Wshadow=local,-Wpointer-arith,-Wno-unknown-warning-option
    -Xcompiler -fPIC,-fvisibility=hidden,-g1,-fno-omit-frame-pointer,-ffp-contract=off,-fno-exceptions,-fno-rtti)
if(NOT "$ENV{CUDAHOSTCXX}" STREQUAL "")
    list(APPEND WAVEMILL_NVCC_FLAGS -ccbin $ENV{CUDAHOSTCXX})
endif()

# A toolkit once chosen stays while it is whole, also when cmake runs again under another environment.
function(wavemill_require_cuda)
    if(WAVEMILL_CUDA_ROOT)
        wavemill_choose_toolkit(${WAVEMILL_CUDA_ROOT}/bin/nvcc)
    else()
        wavemill_choose_toolkit(${CUDA_NAMED} ${WAVEMILL_CUDA_CHOSEN} ${CUDA_USUAL} ${CMAKE_SOURCE_DIR}/.deps/cuda/bin/nvcc)
    endif()
    set(why "no CUDA toolkit is found")
    if(CUDA_NVCC)
        wavemill_cuda_compiles(why)
    elseif(CUDA_REFUSED)
        list(JOIN CUDA_REFUSED "; " why)
    endif()
    if(why AND WAVEMILL_CUDA STREQUAL "AUTO")
        string(STRIP "${why}" why)
        message(STATUS "CUDA: not built: ${why} (tools/bootstrap --cuda installs a toolkit)")
    elseif(why)
        message(FATAL_ERROR "WAVEMILL_CUDA is ON, and ${why}\nto mend: tools/bootstrap --cuda, then cmake again")
    else()
        list(JOIN WAVEMILL_CUDA_CODE " " code)
        message(STATUS "CUDA: ${CUDA_NVCC} ${CUDA_VERSION} for ${code}")
        set(WAVEMILL_CUDA_CHOSEN ${CUDA_NVCC} CACHE INTERNAL "the nvcc of the last run")
        foreach(name NVCC INCLUDE CUFFT CUBLAS RUNTIME)
            set(WAVEMILL_CUDA_${name} ${CUDA_${name}} PARENT_SCOPE)
        endforeach()
    endif()
endfunction()

if(NOT WAVEMILL_CUDA MATCHES "^(AUTO|ON|OFF)$")
    message(FATAL_ERROR "WAVEMILL_CUDA is AUTO, ON or OFF, not ${WAVEMILL_CUDA}")
elseif(WAVEMILL_CUDA STREQUAL "AUTO" AND (WAVEMILL_SANITIZE OR WAVEMILL_COVERAGE))
    message(STATUS "CUDA: not built: neither sanitizers nor coverage see into it (WAVEMILL_CUDA=ON builds it all the same)")
elseif(NOT WAVEMILL_CUDA STREQUAL "OFF")
    wavemill_require_cuda()
    if(EXISTS ${CMAKE_SOURCE_DIR}/.deps) # a toolkit that arrives there is seen by the next build
        set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/.deps)
    endif()
endif()

# One .cu: NAME.cu.o, and beside it NAME.cu.ptxas with the registers, spills and memory of its kernels. nvcc's depfile names
# the toolkit's headers too, so another toolkit compiles everything again.
function(wavemill_cuda_object source object)
    list(JOIN WAVEMILL_CUDA_CODE " " code)
    add_custom_command(
        OUTPUT ${object}.o ${object}.ptxas
        COMMAND ${CMAKE_COMMAND} -DPTXAS=${object}.ptxas -P ${CMAKE_SOURCE_DIR}/cmake/nvcc.cmake --
                ${WAVEMILL_CUDA_NVCC} ${WAVEMILL_NVCC_FLAGS} -I${CMAKE_SOURCE_DIR}/kernels -I${CMAKE_SOURCE_DIR}/runtime
                -DWAVEMILL_VERSION="${PROJECT_VERSION}" -DWAVEMILL_TARGETS="${code}"
                -MD -MF ${object}.d -MT ${object}.o -c ${source} -o ${object}.o
        DEPENDS ${source} ${CMAKE_SOURCE_DIR}/cmake/nvcc.cmake
        DEPFILE ${object}.d
        COMMENT "Building CUDA object ${object}.o"
        VERBATIM)
    set_source_files_properties(${object}.o PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
endfunction()

# The module in DIR/lib, installed; nothing where CUDA is not built.
# wavemill_cuda_module(SOURCES a.cu ... HOST_SOURCES b.c ... DEPENDS lib ...)
# What is not used of cuFFT and cuBLAS is not linked; of C++ only what nvcc's launch stubs use (guards of statics). It
# goes to lib/ also where libraries go to lib64/: module_load looks beside the program and in ../lib. A host source brings
# only what is called of it, so a file of which the module wants one function need not bring what the others call.
function(wavemill_cuda_module)
    if(NOT WAVEMILL_CUDA_NVCC)
        return()
    endif()
    cmake_parse_arguments(ARG "" "" "SOURCES;HOST_SOURCES;DEPENDS" ${ARGN})
    file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/cuda)
    set(objects "")
    set(kept "")
    foreach(name ${ARG_SOURCES})
        get_filename_component(source ${name} ABSOLUTE)
        get_filename_component(name ${name} NAME)
        set(object ${CMAKE_CURRENT_BINARY_DIR}/cuda/${name})
        wavemill_cuda_object(${source} ${object})
        list(APPEND objects ${object}.o)
        string(APPEND kept "${source}\t${object}.ptxas\n")
    endforeach()
    file(WRITE ${CMAKE_BINARY_DIR}/cuda_kernels.txt "${kept}") # for tests/cuda
    file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/cuda/exports.map "{ global: wavemill_module; local: *; };\n")

    list(JOIN WAVEMILL_CUDA_CODE " " code)
    get_filename_component(folder ${WAVEMILL_CUDA_CUFFT} DIRECTORY)
    add_library(wavemill_cuda MODULE ${objects} ${ARG_HOST_SOURCES})
    target_compile_definitions(wavemill_cuda PRIVATE WAVEMILL_TARGETS="${code}")
    target_include_directories(wavemill_cuda PRIVATE ${CMAKE_SOURCE_DIR}/kernels ${CMAKE_SOURCE_DIR}/runtime)
    target_include_directories(wavemill_cuda SYSTEM PRIVATE ${WAVEMILL_CUDA_INCLUDE})
    target_link_libraries(wavemill_cuda PRIVATE wavemill_flags ${ARG_DEPENDS} ${WAVEMILL_CUDA_CUFFT} ${WAVEMILL_CUDA_CUBLAS}
        ${WAVEMILL_CUDA_RUNTIME} stdc++ dl rt)
    target_compile_options(wavemill_cuda PRIVATE -ffunction-sections -fdata-sections)
    target_link_options(wavemill_cuda PRIVATE -Wl,--enable-new-dtags,-z,defs,--gc-sections
        -Wl,--version-script=${CMAKE_CURRENT_BINARY_DIR}/cuda/exports.map)
    # CMake would drop a run path that leads to links.
    set_target_properties(wavemill_cuda PROPERTIES LINKER_LANGUAGE C C_VISIBILITY_PRESET hidden
        BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "$ORIGIN;${folder}")
    install(TARGETS wavemill_cuda LIBRARY DESTINATION lib)
endfunction()
