/* Processes that a supervisor starts: the compute child, and ffmpeg. */
#include "audio.h"
#include "child.h"
#include "sound.h"
#include "task.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the compute child ---- */

/* Starts a script as the child, waits until it has let go of the socket, and says how it ended. */
static void run_script(const char *text, char how[96])
{
    struct child c = {.socket = -1, .log = -1};
    REQUIRE(sound_script("child.sh", text));
    CHECK_OK(child_start(&c, &(struct child_options){.program = "./child.sh", .threads = 3}));
    CHECK(c.pid > 0 && c.socket >= 0 && (fcntl(c.socket, F_GETFD) & FD_CLOEXEC));
    struct pollfd end = {c.socket, POLLIN, 0};
    CHECK(poll(&end, 1, 5000) == 1);
    child_end(&c, how, 96);
    CHECK(c.pid == 0 && c.socket == -1);
    CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
}

TEST(how_a_child_ended)
{
    char how[96];
    run_script("#!/bin/sh\nexit 0\n", how);
    CHECK(strcmp(how, "ended with exit code 0") == 0);
    run_script("#!/bin/sh\nexit 5\n", how);
    CHECK(strcmp(how, "ended with exit code 5") == 0);
    run_script("#!/bin/sh\nkill -SEGV $$\n", how);
    CHECK(strcmp(how, "killed by signal 11 (Segmentation fault)") == 0);
    run_script("#!/bin/sh\nkill -KILL $$\n", how);
    CHECK(strcmp(how, "killed by signal 9 (Killed)") == 0);
}

TEST(what_a_child_gets)
{
    char how[96], text[256] = {0};
    const int secret = fcntl(STDIN_FILENO, F_DUPFD, 50); /* not close-on-exec */
    REQUIRE(secret > 3);
    run_script("#!/bin/sh\n(echo $1; ls -l /proc/self/fd | sed -n 's/.* \\([0-9]*\\) -> /\\1 /p'; "
               "grep SigBlk /proc/self/status) > seen.txt\n",
               how);
    const int fd = open("seen.txt", O_RDONLY);
    CHECK(read(fd, text, sizeof text - 1) > 0);
    CHECK(strncmp(text, "3\n", 2) == 0 && strstr(text, "\n0 /dev/null") && strstr(text, "\n3 socket:"));
    CHECK(strstr(text, "SigBlk:\t0000000000000000"));
    char name[16];
    snprintf(name, sizeof name, "\n%d ", secret);
    CHECK(!strstr(text, name));
    close(fd);
    close(secret);
}

TEST(a_child_that_goes_on_is_killed)
{
    struct child c = {.socket = -1, .log = -1};
    REQUIRE(sound_script("child.sh", "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n"));
    CHECK_OK(child_start(&c, &(struct child_options){.program = "./child.sh", .threads = 1}));
    CHECK(child_resident_bytes(c.pid) > 0);
    const pid_t pid = c.pid;
    child_end(&c, NULL, 0);
    CHECK(kill(pid, 0) == -1 && errno == ESRCH);
    child_end(&c, NULL, 0); /* again is fine */
    CHECK(child_resident_bytes(pid) == 0);
}

TEST(no_such_program)
{
    struct child c = {.socket = -1, .log = -1};
    CHECK_CODE(child_start(&c, &(struct child_options){.program = "./nothing", .threads = 1}), STATUS_IO);
    CHECK(strstr(status_message(), "./nothing") && c.pid == 0 && c.socket == -1);
}

/* ---- ffmpeg ---- */

static char program[4096];

static bool has_ffmpeg(void)
{
    return ffmpeg_find(program, sizeof program) == STATUS_OK;
}

/* What ffmpeg makes of a file: decoded frames, or -1; and what its end says. */
static int64_t decode(const char *with, const char *path, bool suspected, int *ended)
{
    struct ffmpeg f = {.output = -1, .message = -1};
    struct audio *a = NULL;
    const int fd = open(path, O_RDONLY);
    REQUIRE(fd >= 0);
    CHECK_OK(ffmpeg_start(&f, with, fd, path));
    int code = audio_open_stream(f.output, &a);
    int64_t got = 1;
    static float block[16384];
    while (!code && got > 0)
        code = audio_read(a, block, 16384 / audio_info(a)->channels, &got);
    const int64_t frames = code ? -1 : audio_info(a)->frames;
    audio_close(&a);
    close(fd);
    *ended = ffmpeg_end(&f, suspected);
    CHECK(f.pid == 0 && f.output == -1 && f.message == -1);
    CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
    return frames;
}

TEST(ffmpeg_reads_what_it_should)
{
    if (!has_ffmpeg())
        return;
    int ended;
    CHECK(decode(program, test_data("music_pluck_stereo_48k.m4a"), false, &ended) > 48000);
    CHECK_CODE(ended, STATUS_OK);
    CHECK(decode(program, test_data("music_stereo_44k.flac"), false, &ended) > 44100);
    CHECK_CODE(ended, STATUS_OK);
}

TEST(ffmpeg_says_why_not)
{
    if (!has_ffmpeg())
        return;
    int ended;
    REQUIRE(sound_text("notes.txt", "These are notes, not music.\n"));
    CHECK(decode(program, "notes.txt", true, &ended) == -1);
    CHECK_CODE(ended, STATUS_FORMAT);
    CHECK(strncmp(status_message(), "ffmpeg: ", 8) == 0 && strlen(status_message()) > 8);
    CHECK(!strstr(status_message(), "/dev/fd"));
}

TEST(ffmpeg_follows_no_playlist)
{
    if (!has_ffmpeg())
        return;
    REQUIRE(sound_noise("secret.wav", 48000, 1, 8000, 1));
    static const struct {
        const char *name, *text;
    } lists[] = {
        {"list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nsecret.wav\n#EXT-X-ENDLIST\n"},
        {"list.ffconcat", "ffconcat version 1.0\nfile secret.wav\n"},
        {"list.m4a", "ffconcat version 1.0\nfile secret.wav\n"},
        {"list.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n"},
        {"list.mpd", "<?xml version=\"1.0\"?><MPD><BaseURL>secret.wav</BaseURL></MPD>"}};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        int ended;
        REQUIRE(sound_text(lists[i].name, lists[i].text));
        CHECK(decode(program, lists[i].name, true, &ended) == -1);
        CHECK_CODE(ended, STATUS_FORMAT);
    }
}

/* A reader that stops in the middle ends ffmpeg, and that is not the file's fault. */
TEST(ffmpeg_loses_its_reader)
{
    if (!has_ffmpeg())
        return;
    REQUIRE(sound_noise("long.wav", 2000000, 2, 48000, 2));
    signal(SIGPIPE, SIG_IGN); /* as the supervisor does; ffmpeg inherits it */
    for (int suspected = 0; suspected < 2; suspected++) {
        struct ffmpeg f = {.output = -1, .message = -1};
        char some[1000];
        const int fd = open("long.wav", O_RDONLY);
        CHECK_OK(ffmpeg_start(&f, program, fd, "long.wav"));
        CHECK(read(f.output, some, sizeof some) > 0);
        CHECK_CODE(ffmpeg_end(&f, suspected), STATUS_OK);
        CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
        close(fd);
    }
}

#define AU_SCRIPT \
    "printf '.snd\\0\\0\\0\\030\\377\\377\\377\\377\\0\\0\\0\\006\\0\\0\\037\\100\\0\\0\\0\\001'\n" \
    "printf '\\0\\0\\0\\0\\0\\0\\0\\0'\n"

TEST(ffmpeg_that_breaks_off)
{
    int ended;
    REQUIRE(sound_text("any.m4a", "any"));
    REQUIRE(sound_script("whole", "#!/bin/sh\n" AU_SCRIPT));
    CHECK(decode("./whole", "any.m4a", false, &ended) == 2);
    CHECK_CODE(ended, STATUS_OK);
    /* what came is a part: not to be taken for the whole */
    REQUIRE(sound_script("fails", "#!/bin/sh\n" AU_SCRIPT "echo 'the disk is bad' >&2\nexit 1\n"));
    CHECK(decode("./fails", "any.m4a", false, &ended) == 2);
    CHECK_CODE(ended, STATUS_FORMAT);
    CHECK(strcmp(status_message(), "ffmpeg: the disk is bad") == 0);
    REQUIRE(sound_script("killed", "#!/bin/sh\n" AU_SCRIPT "kill -KILL $$\n"));
    CHECK(decode("./killed", "any.m4a", false, &ended) == 2);
    CHECK_CODE(ended, STATUS_IO);
    REQUIRE(sound_script("crashed", "#!/bin/sh\nkill -SEGV $$\n"));
    CHECK(decode("./crashed", "any.m4a", true, &ended) == -1);
    CHECK_CODE(ended, STATUS_IO);
    REQUIRE(sound_script("silent", "#!/bin/sh\nexit 3\n"));
    CHECK(decode("./silent", "any.m4a", false, &ended) == -1);
    CHECK_CODE(ended, STATUS_FORMAT);
}

/* An ffmpeg that does not end is ended. */
TEST(ffmpeg_that_stays)
{
    struct ffmpeg f = {.output = -1, .message = -1};
    REQUIRE(sound_script("stays", "#!/bin/sh\nexec sleep 100\n"));
    const int fd = open("stays", O_RDONLY);
    CHECK_OK(ffmpeg_start(&f, "./stays", fd, "stays"));
    CHECK_CODE(ffmpeg_end(&f, false), STATUS_OK);
    CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
    CHECK_OK(ffmpeg_end(&f, false));
    close(fd);
}
