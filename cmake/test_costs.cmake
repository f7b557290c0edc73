# What a run of all tests at once needs to know of each: how long it takes, so that the longest start first and none is left
# to run alone at the end, and how much of a core it takes, so that those that mostly wait (for leases, beats, kills, other
# processes) run beside those that compute. A test that is in neither list computes, and takes less than ten seconds.
#
# wavemill_weigh(NAME), for each test. The share counts only where ctest is told what there is, as ./check does with
# `ctest -j6 --resource-spec-file ../tests/two-cores.json`: three slots a core. `ctest -j2` by hand goes by the cost alone.

# Seconds, on two cores. Their order is what matters, and it is much the same with sanitizers.
set(WAVEMILL_TEST_COSTS
    journey_remote_train 144 gpu_check_rehearsal 113 journey_train_device 90 supervisor 85 gpu_check_builds 79 sim 30 kernels_librosa 54 journey_train_bad 52 journey_priority 50 journey_remote_sweep 45
    features_librosa 51 emulated_conv2d_and_conv2d_weight_mma 50 kernels_score_bss 46 conformance 45 journey_faults 41
    journey_emulated 40 journey_networks 35 models_htdemucs_torch 32 faults_disk 29 journey_train 28 kernels_conv2d 25
    journey_separate 24 kernels_spectral 23 kernels_spectral_avx2 23 kernels_spectral_avx512 23 journey_sweep 22
    journey_remote_separate 22 models_htdemucs_batch_emulated 21 emulated_search 21 emulated_batches 21 journey_plot 21
    emulated_spectral_features 20 journey_devices 19 faults_scheduler 19 journey_networks_device 19 bench_cases 19
    faults_workers 18 emulated_counted 17 emulated_statistics_and_statistics_long 17 emulated_pieces 16
    models_htdemucs_flight_emulated 15 faults_network 15 broker 14 kernels_resample 14 kernels_resample_avx2 14
    kernels_conv2d_avx2 14 kernels_conv2d_avx512 14 broker_objects 13 journey_score 13 emulated_attention 13
    models_htdemucs 13 models_htdemucs_files 13 models_demucs_together_emulated 13 journey_commands 13 networks_together 12
    networks_device 12 emulated_conv2d_and_conv2d_weight_mma_orderreverse 12 emulated_conv_and_product_mma 12
    emulated_spectral_features_orderreverse 11 kernels_resample_avx512 11 networks_work 11 faults_peers 11 faults_wire 11
    models_htdemucs_emulated 10 models_vae_torch_emulated 10 journey_bad_input 10)

# Processor time by wall time, measured: up to 0.35 takes one slot of the three, up to 0.6 two.
set(WAVEMILL_TESTS_WAIT broker broker_objects child conformance faults_clock faults_network faults_wire faults_workers
    journey_faults networks_work supervisor supervisor_device)
set(WAVEMILL_TESTS_WAIT_HALF faults_disk faults_peers faults_scheduler foreign_client journey_bad_input journey_commands
    journey_devices journey_emulated journey_networks_device journey_queue journey_remote_separate journey_score
    journey_separate journey_train_bad)
# With sanitizers what a job computes takes several times as long, and what it waits does not.
if(WAVEMILL_SANITIZE)
    set(WAVEMILL_TESTS_WAIT_HALF faults_disk foreign_client journey_commands journey_devices journey_queue)
endif()

function(wavemill_weigh name)
    list(FIND WAVEMILL_TEST_COSTS ${name} at)
    if(NOT at EQUAL -1)
        math(EXPR at "${at} + 1")
        list(GET WAVEMILL_TEST_COSTS ${at} cost)
        set_tests_properties(${name} PROPERTIES COST ${cost})
    endif()
    set(share cores:3)
    if(name IN_LIST WAVEMILL_TESTS_WAIT)
        set(share cores:1)
    elseif(name IN_LIST WAVEMILL_TESTS_WAIT_HALF)
        set(share cores:2)
    elseif(name STREQUAL "gpu_check_builds") # two compilers at a time
        set(share 2,cores:3)
    elseif(name STREQUAL "gpu_check_rehearsal") # the same, and then one program at a time
        set(share 2,cores:2)
    endif()
    set_tests_properties(${name} PROPERTIES RESOURCE_GROUPS ${share})
endfunction()
