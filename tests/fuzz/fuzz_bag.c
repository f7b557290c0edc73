/* The YAML beside model weights (models/bag.h).
 *
 *   input        the file
 *   properties   it ends; what is taken has names that are fit for files, numbers that are finite, and for each stem a
 *                network that counts; a message names file and line */
#include "bag.h"
#include "fuzz.h"

#include <math.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bag b;
    if (bag_parse((const char *)data, size, "fuzz", &b)) {
        FUZZ_CHECK(strncmp(status_message(), "bag: fuzz: line ", 16) == 0);
        return 0;
    }
    FUZZ_CHECK(b.networks >= 1 && b.networks <= BAG_NETWORKS_MOST && b.stems >= 0 && b.stems <= BAG_STEMS_MOST);
    FUZZ_CHECK(isfinite(b.segment_s) && b.segment_s >= 0);
    for (int i = 0; i < b.networks; i++)
        FUZZ_CHECK(bag_is_signature(b.signature[i]) && !strpbrk(b.signature[i], "/.\\"));
    for (int k = 0; k < b.stems; k++) {
        double sum = 0;
        for (int i = 0; i < b.networks; i++)
            sum += b.weight[i][k];
        FUZZ_CHECK(isfinite(sum) && sum > 0);
    }
    fuzz_accept();
    return 0;
}

void fuzz_seeds(void)
{
    static const char one[] = "models: ['955717e8']\n";
    static const char four[] = "models: ['f7e0c4bc', \"d12395a8\"] # two\nweights: [\n  [1., 0.],\n  [0., 1.],\n]\n"
                               "segment: 44\n";
    fuzz_seed("one", one, sizeof one - 1);
    fuzz_seed("weights", four, sizeof four - 1);
}
