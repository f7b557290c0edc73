# Outside libraries, each found once, each as an imported target named after it.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

function(wavemill_require name module minimum package)
    pkg_check_modules(${name} IMPORTED_TARGET ${module}>=${minimum})
    if(NOT ${name}_FOUND)
        message(FATAL_ERROR "${module} >= ${minimum} is missing; on Debian: apt-get install ${package} (or run tools/bootstrap)")
    endif()
endfunction()

wavemill_require(SNDFILE sndfile 1.1.0 libsndfile1-dev)
wavemill_require(ZMQ libzmq 4.3.3 libzmq3-dev)
wavemill_require(MSGPACK msgpack 3.0.0 libmsgpack-dev)
wavemill_require(SAMPLERATE samplerate 0.2.0 libsamplerate0-dev)
wavemill_require(SODIUM libsodium 1.0.18 libsodium-dev)
wavemill_require(JANSSON jansson 2.13 libjansson-dev)
wavemill_require(PNG libpng 1.6.34 libpng-dev)
wavemill_require(CURL libcurl 7.74.0 libcurl4-openssl-dev)

# LMDB ships no .pc file everywhere. 0.9.26 to 0.9.31 have a mutex race (ITS#10095): tools/bootstrap builds a pinned
# later release into .deps/lmdb for systems that have those.
find_path(LMDB_INCLUDE lmdb.h HINTS ${CMAKE_SOURCE_DIR}/.deps/lmdb/include NO_CMAKE_FIND_ROOT_PATH)
find_library(LMDB_LIBRARY lmdb HINTS ${CMAKE_SOURCE_DIR}/.deps/lmdb/lib)
if(NOT LMDB_INCLUDE OR NOT LMDB_LIBRARY)
    message(FATAL_ERROR "lmdb is missing; on Debian: apt-get install liblmdb-dev (or run tools/bootstrap)")
endif()
file(STRINGS ${LMDB_INCLUDE}/lmdb.h LMDB_PATCH_LINE REGEX "#define[ \t]+MDB_VERSION_(MINOR|PATCH)")
string(REGEX REPLACE ".*MDB_VERSION_MINOR[ \t]+([0-9]+).*" "\\1" LMDB_MINOR "${LMDB_PATCH_LINE}")
string(REGEX REPLACE ".*MDB_VERSION_PATCH[ \t]+([0-9]+).*" "\\1" LMDB_PATCH "${LMDB_PATCH_LINE}")
if(LMDB_MINOR EQUAL 9 AND LMDB_PATCH GREATER 25 AND LMDB_PATCH LESS 32)
    message(FATAL_ERROR "LMDB 0.9.${LMDB_PATCH} has a mutex race (0.9.26 to 0.9.31, ITS#10095); "
                        "run tools/bootstrap, which builds a sound release into .deps/lmdb")
endif()
add_library(lmdb UNKNOWN IMPORTED)
set_target_properties(lmdb PROPERTIES IMPORTED_LOCATION ${LMDB_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${LMDB_INCLUDE})
