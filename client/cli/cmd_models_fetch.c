/* One file from a server: the only place that knows libcurl. What the server says of the file is not believed before it
 * is checked, and bounded in bytes and time. */
#include "models_fetch.h"
#include "paths.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    REDIRECTS_MOST = 5,
    HEADERS_MOST = 64 << 10,
    SECONDS_MOST = 6 * 3600,
    CONNECT_S = 15,
    SLOW_BYTES_A_SECOND = 256
};

struct state {
    struct transfer *t;
    CURL *curl;
    int fd, code;
    char part[PATHS_MAX + 320], etag_path[PATHS_MAX + 320];
    char etag[256]; /* of the answer that is being read */
    char reason[CURL_ERROR_SIZE];
    uint64_t at;            /* bytes in the file */
    uint64_t begins, total; /* of the answer, as Content-Range says; total 0: unknown */
    size_t header_bytes;
    bool began;
};

/* ---- the files beside the wanted one ---- */

static void read_etag(const struct state *s, char out[256])
{
    out[0] = '\0';
    FILE *const f = fopen(s->etag_path, "re");
    if (f && !fgets(out, 256, f))
        out[0] = '\0';
    if (f)
        fclose(f);
}

/* One that cannot be written only costs a new beginning. */
static void write_etag(const struct state *s)
{
    FILE *const f = s->etag[0] ? fopen(s->etag_path, "we") : NULL;
    if (f) {
        fputs(s->etag, f);
        fclose(f);
    } else {
        unlink(s->etag_path);
    }
}

static int begin_anew(struct state *s)
{
    s->at = 0;
    return ftruncate(s->fd, 0) || lseek(s->fd, 0, SEEK_SET) < 0
               ? fail(STATUS_IO, "cannot write %s: %s", s->part, strerror(errno))
               : STATUS_OK;
}

/* ---- what comes ---- */

/* The value of a header line, without its end, where it is that header's. */
static bool header_value(const char *line, size_t bytes, const char *name, char *out, size_t capacity)
{
    const size_t n = strlen(name);
    if (bytes <= n || strncasecmp(line, name, n) != 0)
        return false;
    while (bytes > n && (line[bytes - 1] == '\r' || line[bytes - 1] == '\n' || line[bytes - 1] == ' '))
        bytes--;
    const char *from = line + n;
    while (from < line + bytes && *from == ' ')
        from++;
    const size_t length = (size_t)(line + bytes - from);
    if (length >= capacity)
        return false;
    memcpy(out, from, length);
    out[length] = '\0';
    return true;
}

/* "bytes 100-199/200" */
static void read_range(struct state *s, const char *text)
{
    char *end = NULL;
    if (strncmp(text, "bytes ", 6) != 0)
        return;
    s->begins = strtoull(text + 6, &end, 10);
    const char *const slash = strchr(end, '/');
    s->total = slash && slash[1] != '*' ? strtoull(slash + 1, NULL, 10) : 0;
}

static size_t on_header(char *line, size_t size, size_t count, void *context)
{
    struct state *const s = context;
    char value[256];
    const size_t bytes = size * count;
    s->header_bytes += bytes;
    if (s->header_bytes > HEADERS_MOST)
        return 0;
    if (bytes > 5 && strncmp(line, "HTTP/", 5) == 0) { /* of the next answer: a redirection's do not count */
        s->etag[0] = '\0';
        s->begins = UINT64_MAX;
        s->total = 0;
    } else if (header_value(line, bytes, "ETag:", value, sizeof value)) {
        if (value[0] == '"') /* not W/"...": that would not promise equal bytes */
            memcpy(s->etag, value, sizeof value);
    } else if (header_value(line, bytes, "Content-Range:", value, sizeof value)) {
        read_range(s, value);
    }
    return bytes;
}

/* The first bytes of an answer: is it the rest that was asked for, or the whole? */
static int on_begin(struct state *s)
{
    long status = 0;
    curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, &status);
    s->began = true;
    if (status == 206 && s->at > 0 && s->begins == s->at)
        return STATUS_OK;
    if (status != 200)
        return fail(STATUS_FORMAT, "%s: the server answered %ld, with other bytes than were asked for", s->t->url,
                    status);
    write_etag(s);
    return begin_anew(s);
}

static size_t on_data(char *data, size_t size, size_t count, void *context)
{
    struct state *const s = context;
    const size_t bytes = size * count;
    if (!s->began && (s->code = on_begin(s)))
        return 0;
    if (bytes > s->t->bytes_most - s->at) {
        s->code = fail(STATUS_FORMAT, "%s: more than the %llu bytes that such a file may have", s->t->url,
                       (unsigned long long)s->t->bytes_most);
        return 0;
    }
    for (size_t done = 0; done < bytes;) {
        const ssize_t n = pwrite(s->fd, data + done, bytes - done, (off_t)(s->at + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            s->code = fail(STATUS_IO, "cannot write %s: %s", s->part, strerror(errno));
            return 0;
        }
        done += (size_t)n;
    }
    s->at += bytes;
    return bytes;
}

static int on_progress(void *context, curl_off_t want, curl_off_t got, curl_off_t up, curl_off_t up_got)
{
    const struct state *const s = context;
    (void)up, (void)up_got;
    if (s->began)
        progress_show(s->t->progress, s->at, want > 0 ? s->at - (uint64_t)got + (uint64_t)want : s->at);
    return cli_interrupted != 0;
}

/* ---- one question ---- */

static bool set_up(struct state *s)
{
    const struct transfer *const t = s->t;
    const long stall_s = t->stall_ms < 1000 ? 1 : (long)(t->stall_ms / 1000);
    CURL *const c = s->curl;
    const char *const schemes = t->any_scheme ? "http,https" : "https";
    bool good = curl_easy_setopt(c, CURLOPT_URL, t->url) == CURLE_OK;
#if LIBCURL_VERSION_NUM >= 0x075500
    good = good && curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, schemes) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, schemes) == CURLE_OK;
#else
    const long bits = CURLPROTO_HTTPS | (schemes[4] == ',' ? CURLPROTO_HTTP : 0);
    good = good && curl_easy_setopt(c, CURLOPT_PROTOCOLS, bits) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS, bits) == CURLE_OK;
#endif
    return good && curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_MAXREDIRS, (long)REDIRECTS_MOST) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, stall_s < CONNECT_S ? stall_s : (long)CONNECT_S) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_TIMEOUT, (long)SECONDS_MOST) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, (long)SLOW_BYTES_A_SECOND) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, stall_s) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_ERRORBUFFER, s->reason) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_USERAGENT, "wavemill/" WAVEMILL_VERSION) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_HEADERDATA, s) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_WRITEDATA, s) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_XFERINFODATA, s) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L) == CURLE_OK;
}

/* From CURL's answer to ours. */
static int conclude(struct state *s, CURLcode answer)
{
    long status = 0;
    const char *const url = s->t->url, *const why = s->reason[0] ? s->reason : curl_easy_strerror(answer);
    curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, &status);
    if (s->code) /* ours, from a callback */
        return s->code;
    switch (answer) {
    case CURLE_OK:
        break;
    case CURLE_ABORTED_BY_CALLBACK:
        return fail(STATUS_CANCELLED, "%s: interrupted", url);
    case CURLE_HTTP_RETURNED_ERROR:
        return fail(status == 404 || status == 410 ? STATUS_NOT_FOUND : STATUS_IO, "%s: the server answered %ld", url,
                    status);
    case CURLE_OPERATION_TIMEDOUT:
        return fail(STATUS_TIMEOUT, "%s: %s", url, why);
    case CURLE_TOO_MANY_REDIRECTS:
        return fail(STATUS_IO, "%s: redirected more than %d times", url, REDIRECTS_MOST);
    case CURLE_PARTIAL_FILE:
        return fail(STATUS_IO, "%s: the server broke off after %llu bytes; the same command goes on from there", url,
                    (unsigned long long)s->at);
    case CURLE_OUT_OF_MEMORY:
        return fail(STATUS_NOMEM, "%s: out of memory", url);
    default:
        return fail(STATUS_IO, "%s: %s", url, why);
    }
    if (!s->began && (status != 200 || (s->code = on_begin(s)))) /* an answer without a byte */
        return s->code ? s->code : fail(STATUS_IO, "%s: the server answered %ld, and nothing else", url, status);
    if (s->total && s->at != s->total)
        return fail(STATUS_IO, "%s: %llu bytes came, the server had spoken of %llu", url, (unsigned long long)s->at,
                    (unsigned long long)s->total);
    return STATUS_OK;
}

/* Asks for what is missing. *refused: the server has no such rest. */
static int ask(struct state *s, bool *refused)
{
    char range[64], condition[300], etag[256];
    struct curl_slist *headers = NULL;
    long status = 0;
    read_etag(s, etag);
    int code = s->at > 0 && !etag[0] ? begin_anew(s) : STATUS_OK; /* of what it is a part is not known */
    if (code)
        return code;
    if (s->at > 0) {
        snprintf(range, sizeof range, "%llu-", (unsigned long long)s->at);
        snprintf(condition, sizeof condition, "If-Range: %s", etag);
        headers = curl_slist_append(NULL, condition);
        if (!headers || curl_easy_setopt(s->curl, CURLOPT_RANGE, range) != CURLE_OK ||
            curl_easy_setopt(s->curl, CURLOPT_HTTPHEADER, headers) != CURLE_OK) {
            curl_slist_free_all(headers);
            return fail(STATUS_NOMEM, "%s: out of memory", s->t->url);
        }
    }
    code = conclude(s, curl_easy_perform(s->curl));
    curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, &status);
    *refused = s->at > 0 && status == 416;
    curl_slist_free_all(headers);
    return code;
}

static int open_curl(struct state *s)
{
    s->curl = curl_easy_init();
    s->began = false;
    s->code = STATUS_OK;
    s->header_bytes = 0;
    s->reason[0] = '\0';
    return s->curl && set_up(s) ? STATUS_OK
                                : fail(STATUS_NOMEM, "%s: libcurl does not start (%s)", s->t->url, curl_version());
}

static int download(struct state *s)
{
    int code = STATUS_OK;
    for (int tries = 0; tries < 2; tries++) {
        bool refused = false;
        code = open_curl(s);
        code = code ? code : ask(s, &refused);
        curl_easy_cleanup(s->curl);
        s->curl = NULL;
        if (!code || !refused)
            break;
        code = begin_anew(s);
        unlink(s->etag_path);
    }
    return code;
}

/* ---- the file ---- */

static int check(struct state *s)
{
    char is[HASH_HEX], wanted[HASH_HEX];
    struct transfer *const t = s->t;
    int code = hash_file_sha256(s->fd, &t->found, &t->bytes);
    if (code || !t->sha256 || memcmp(&t->found, t->sha256, sizeof t->found) == 0)
        return code;
    hash_hex(&t->found, is);
    hash_hex(t->sha256, wanted);
    unlink(s->part);
    unlink(s->etag_path);
    return fail(STATUS_FORMAT, "%s: its SHA-256 is %s, not %s", t->url, is, wanted);
}

static int open_part(struct state *s)
{
    struct stat st;
    s->fd = open(s->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->fd < 0 || fstat(s->fd, &st))
        return fail(STATUS_IO, "cannot write %s: %s", s->part, strerror(errno));
    s->at = (uint64_t)st.st_size;
    return s->at >= s->t->bytes_most ? begin_anew(s) : STATUS_OK;
}

int transfer_run(struct transfer *t)
{
    static bool is_ready;
    struct state s = {.t = t, .fd = -1};
    if (!is_ready && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return fail(STATUS_INTERNAL, "%s: libcurl does not start (%s)", t->url, curl_version());
    is_ready = true;
    snprintf(s.part, sizeof s.part, "%s.part", t->path);
    snprintf(s.etag_path, sizeof s.etag_path, "%s.etag", t->path);
    int code = open_part(&s);
    code = code ? code : download(&s);
    if (code == STATUS_FORMAT && s.fd >= 0) { /* of no use, ever */
        unlink(s.part);
        unlink(s.etag_path);
    }
    code = code ? code : check(&s);
    if (!code && (fsync(s.fd) || rename(s.part, t->path)))
        code = fail(STATUS_IO, "cannot write %s: %s", t->path, strerror(errno));
    if (!code)
        unlink(s.etag_path);
    if (s.fd >= 0)
        close(s.fd);
    return code;
}

const char *transfer_library(void)
{
    return curl_version();
}
