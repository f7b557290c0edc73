/* What a module needs and does not find. */
int fake_library(void);

int fake_library(void)
{
    return 1;
}
