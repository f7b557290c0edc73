/* What a network's metadata says of its shape (models/htdemucs.h).
 *
 *   input        the kwargs, as text: JSON
 *   properties   it ends; what is taken is within the bounds that the loader builds on, names are fit for files;
 *                the sizes that follow are positive, divide as they must and do not overflow; a message names
 *                the file */
#include "fuzz.h"
#include "htdemucs_net.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void check_config(const struct htdemucs_config *c)
{
    const int64_t deepest = channels_of(c, c->depth - 1), width = c->bottom ? c->bottom : deepest;
    FUZZ_CHECK(c->stems >= 1 && c->stems <= HTDEMUCS_STEMS_MOST);
    for (int s = 0; s < c->stems; s++) {
        FUZZ_CHECK(memchr(c->stem[s], 0, HTDEMUCS_NAME_MOST) && *c->stem[s] && !strpbrk(c->stem[s], "/.\\ "));
        for (int other = 0; other < s; other++)
            FUZZ_CHECK(strcmp(c->stem[s], c->stem[other]) != 0);
    }
    FUZZ_CHECK(c->rate_hz >= 8000 && c->rate_hz <= 192000);
    FUZZ_CHECK(c->n_fft >= 64 && c->n_fft <= 32768 && c->segment >= c->n_fft && c->segment <= 60 * c->rate_hz);
    FUZZ_CHECK(c->depth >= 1 && c->depth <= HTDEMUCS_DEPTH_MOST && c->growth >= 1 && c->channels >= 1);
    FUZZ_CHECK(deepest >= 1 && deepest <= HTDEMUCS_CHANNELS_MOST && c->compress >= 1);
    FUZZ_CHECK(c->dconv_mode >= 0 && c->dconv_mode <= 3 && c->dconv_depth >= 0 && c->dconv_depth <= DCONV_MOST);
    FUZZ_CHECK(c->layers >= 1 && c->layers <= HTDEMUCS_LAYERS_MOST && c->hidden >= 1 && c->hidden <= 65536);
    FUZZ_CHECK(width >= 4 && width % 4 == 0 && c->heads >= 1 && width % c->heads == 0 && width / c->heads <= 256);
    FUZZ_CHECK(isfinite(c->frequency_weight) && isfinite(c->max_period) && c->max_period >= 1);
}

static void check_shape(const struct htdemucs *net, size_t room)
{
    const int64_t last = net->c.depth, tokens = net->frames * net->bins[last];
    FUZZ_CHECK(net->frames >= 4 && net->width >= 4);
    for (int64_t i = 0; i < last; i++) {
        FUZZ_CHECK(net->bins[i] == STRIDE * net->bins[i + 1] && net->bins[i + 1] >= 1);
        FUZZ_CHECK(net->samples[i + 1] * STRIDE >= net->samples[i] && net->samples[i + 1] >= 1);
    }
    /* The bound on a segment's memory is one on the position codes too, which the loader computes. */
    FUZZ_CHECK(room / sizeof(float) / (size_t)net->width > (size_t)tokens && room >> 50 == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct htdemucs net = {0};
    char *const text = malloc(size + 1);
    FUZZ_CHECK(text);
    if (size)
        memcpy(text, data, size);
    text[size] = 0;
    int code = htdemucs_config_parse(text, "fuzz", &net.c);
    free(text);
    if (!code) {
        check_config(&net.c);
        const size_t room = htdemucs_room_bytes(&net.c, 1);
        code = htdemucs_shape("fuzz", &net);
        FUZZ_CHECK((code == STATUS_OK) == (room > 0));
        if (!code)
            check_shape(&net, room);
    }
    if (code)
        FUZZ_CHECK(strncmp(status_message(), "fuzz: ", 6) == 0);
    else
        fuzz_accept();
    return 0;
}

#define STEMS "\"sources\": [\"drums\", \"bass\", \"other\", \"vocals\"]"

void fuzz_seeds(void)
{
    static const char released[] =
        "{" STEMS
        ", \"audio_channels\": 2, \"channels\": 48, \"growth\": 2, \"nfft\": 4096, \"cac\": true, \"depth\": 4, "
        "\"rewrite\": true, \"norm_starts\": 4, \"norm_groups\": 4, \"dconv_mode\": 3, \"dconv_depth\": 2, "
        "\"dconv_comp\": 8, \"bottom_channels\": 512, \"t_layers\": 5, \"t_heads\": 8, \"t_hidden_scale\": 4.0, "
        "\"segment\": {\"_type\": \"fraction\", \"numerator\": 39, \"denominator\": 5}, \"samplerate\": 44100, "
        "\"use_train_segment\": true}";
    static const char defaults[] = "{" STEMS "}";
    static const char options[] =
        "{\"sources\": [\"a\"], \"depth\": 3, \"nfft\": 1024, \"t_emb\": \"sin\", \"t_weight_pos_embed\": 1, "
        "\"t_max_period\": 100.5, \"multi_freqs\": [], \"channels_time\": null, \"kernel_size\": 8.0, \"freq_emb\": "
        "0.5, "
        "\"emb_scale\": 2, \"segment\": 1.25, \"norm_starts\": 3, \"stride\": 4, \"t_dropout\": 0.1}";
    fuzz_seed("released", released, sizeof released - 1);
    fuzz_seed("defaults", defaults, sizeof defaults - 1);
    fuzz_seed("options", options, sizeof options - 1);
}
