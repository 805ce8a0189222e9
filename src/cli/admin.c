#include "cli/admin.h"

#include "base/secret.h"
#include "cli/cli.h"
#include "conf/config.h"
#include "os/file.h"
#include "os/unix.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { ANSWER_STEP = 64 * 1024 };

static int fail_connect(const char *name, enum cq_err err)
{
    if (err == CQ_ERR_NOTFOUND)
        return cq_cli_fail("%s: no such interface is running", name);
    if (err == CQ_ERR_PERM)
        return cq_cli_fail("%s: not allowed to change this node (try it as root)", name);
    return cq_cli_fail("%s: %s", name, err == CQ_ERR_IO ? strerror(errno) : cq_err_text(err));
}

/* Everything up to the end; it may hold a key, so it lies in locked memory. */
static char *read_answer(int fd, size_t *out_len)
{
    size_t size = ANSWER_STEP, len = 0;
    char *data = cq_secret_alloc(size);

    while (data != NULL) {
        if (size - len < ANSWER_STEP / 2) {
            char *more = cq_secret_alloc(2 * size);
            if (more != NULL)
                memcpy(more, data, len);
            cq_secret_free(data);
            data = more;
            size *= 2;
            continue;
        }
        ssize_t n = recv(fd, data + len, size - len - 1, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    if (data != NULL)
        data[len] = '\0';
    *out_len = len;
    return data;
}

static int print_answer(const char *name, const char *answer, size_t len)
{
    if (answer == NULL)
        return cq_cli_fail("out of memory");
    if (len == 0)
        return cq_cli_fail("%s: the node gave no answer", name);
    if (answer[0] != '0')
        return cq_cli_fail("%s: %s", name, answer + 1);
    fflush(stdout);
    if (cq_file_write_all(STDOUT_FILENO, answer + 1, len - 1) != CQ_OK)
        return cq_cli_fail("cannot write to standard output: %s", strerror(errno));
    return CQ_EXIT_OK;
}

int cq_cli_admin_ask(const char *name, enum cq_admin_command command, bool dry_run,
                     const void *body, size_t body_len)
{
    const struct cq_admin_request request = {command, dry_run, (uint32_t)body_len};
    const struct timeval patience = {.tv_sec = CQ_ADMIN_TIMEOUT_MS / 1000};
    uint8_t header[CQ_ADMIN_HEADER_LEN];
    size_t len = 0;
    int fd;

    if (body_len > CQ_ADMIN_BODY_MAX)
        return cq_cli_fail("the request is too large");
    enum cq_err err = cq_unix_connect_to(name, ".admin", &fd);
    if (err != CQ_OK)
        return fail_connect(name, err);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    cq_admin_write_header(header, &request);
    /* What cannot be sent because it was refused early is explained by the answer. */
    if (send(fd, header, sizeof(header), MSG_NOSIGNAL) == (ssize_t)sizeof(header))
        for (size_t done = 0; done < body_len;) {
            ssize_t n = send(fd, (const char *)body + done, body_len - done, MSG_NOSIGNAL);
            if (n <= 0)
                break;
            done += (size_t)n;
        }
    char *answer = read_answer(fd, &len);
    close(fd);
    int status = print_answer(name, answer, len);
    cq_secret_free(answer);
    return status;
}

int cq_cli_admin_arguments(const char *command, int argc, char **argv, size_t num, const char **out,
                           bool *out_dry_run)
{
    static const struct cq_cli_option options[] = {{"dry-run", false}, {NULL, false}};
    struct cq_cli_args args = {.command = command, .argc = argc, .argv = argv, .at = 1};
    size_t taken = 0;
    int option;

    if (out_dry_run != NULL)
        *out_dry_run = false;
    while ((option = cq_cli_next(&args, out_dry_run != NULL ? options : NULL)) != CQ_CLI_END) {
        if (option == CQ_CLI_BAD)
            return CQ_EXIT_USAGE;
        if (option == 0)
            *out_dry_run = true;
        else if (taken == num)
            return cq_cli_usage(command, "too many arguments");
        else
            out[taken++] = args.value;
    }
    if (taken < num)
        return cq_cli_usage(command, "too few arguments");
    if (!cq_conf_interface_is_valid(out[0]))
        return cq_cli_usage(command, "%.40s is not an interface's name", out[0]);
    return CQ_EXIT_OK;
}

char *cq_cli_admin_path(const char *path)
{
    char *full = realpath(path, NULL);

    if (full == NULL)
        (void)cq_cli_fail("%s: %s", path, strerror(errno));
    return full;
}
