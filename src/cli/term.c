#include "cli/term.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { ESCAPE = 27 };

static const char enter_screen[] = "\x1b[?1049h\x1b[?25l\x1b[2J";
static const char leave_screen[] = "\x1b[0m\x1b[?25h\x1b[?1049l";
static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

static struct termios before;
static sigset_t while_waiting;
static bool entered;
static volatile sig_atomic_t ending, stopping;

static void on_end(int number)
{
    (void)number;
    ending = 1;
}

static void on_stop(int number)
{
    (void)number;
    stopping = 1;
}

/* It only has to interrupt. */
static void on_resize(int number)
{
    (void)number;
}

static void handle(sigset_t *set, int number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};

    sigaddset(set, number);
    sigaction(number, &action, NULL);
}

static void take_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        handle(&set, ends[i], on_end);
    handle(&set, SIGTSTP, on_stop);
    handle(&set, SIGWINCH, on_resize);
    sigprocmask(SIG_BLOCK, &set, &while_waiting);
    for (int number = 1; number < NSIG; number++)
        if (sigismember(&set, number) == 1)
            sigdelset(&while_waiting, number);
}

void cq_term_write(const char *text, size_t len)
{
    sigset_t blocked;

    /* A terminal that was stopped must not keep the program from ending. */
    sigprocmask(SIG_SETMASK, &while_waiting, &blocked);
    while (len > 0 && !ending) {
        ssize_t n = write(STDOUT_FILENO, text, len);
        if (n < 0 && errno != EINTR)
            break;
        if (n > 0) {
            text += n;
            len -= (size_t)n;
        }
    }
    sigprocmask(SIG_SETMASK, &blocked, NULL);
}

static void show_screen(void)
{
    struct termios raw = before;

    raw.c_lflag &= (tcflag_t) ~(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    cq_term_write(enter_screen, strlen(enter_screen));
}

static void hide_screen(void)
{
    tcsetattr(STDIN_FILENO, TCSANOW, &before);
    /* Goes on after Ctrl-S too, which TCOON alone would not. */
    tcflow(STDOUT_FILENO, TCOOFF);
    tcflow(STDOUT_FILENO, TCOON);
    (void)!write(STDOUT_FILENO, leave_screen, strlen(leave_screen));
}

bool cq_term_enter(void)
{
    if (!isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &before) != 0)
        return false;
    take_signals();
    entered = true;
    atexit(cq_term_leave);
    show_screen();
    return true;
}

void cq_term_leave(void)
{
    if (entered)
        hide_screen();
    entered = false;
}

struct cq_term_size cq_term_size(void)
{
    struct winsize size;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0)
        return (struct cq_term_size){24, 80};
    return (struct cq_term_size){size.ws_row, size.ws_col};
}

/* As the shell wants it: the terminal is as it was while we are stopped. */
static void stop(void)
{
    stopping = 0;
    hide_screen();
    raise(SIGSTOP);
    show_screen();
}

static int read_key(void)
{
    unsigned char bytes[64];
    ssize_t n = read(STDIN_FILENO, bytes, 1);

    if (n <= 0)
        return -1;
    if (bytes[0] != ESCAPE)
        return bytes[0];
    /* The rest of a cursor key comes in the same moment. */
    n = read(STDIN_FILENO, bytes, sizeof(bytes));
    return n > 0 ? 0 : ESCAPE;
}

int cq_term_wait(int fd, int timeout_ms, bool *out_fd)
{
    struct pollfd p[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    struct timespec timeout = {timeout_ms / 1000, (long)(timeout_ms % 1000) * 1000000};

    *out_fd = false;
    int n = ppoll(p, 2, &timeout, &while_waiting);
    if (ending)
        return -1;
    if (stopping)
        stop();
    if (n <= 0)
        return 0;
    *out_fd = p[1].revents != 0;
    return p[0].revents != 0 ? read_key() : 0;
}
