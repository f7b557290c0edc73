/* A driver's library that serves an old CUDA. */
int cuDriverGetVersion(int *version);

int cuDriverGetVersion(int *version)
{
    *version = 11040;
    return 0;
}
