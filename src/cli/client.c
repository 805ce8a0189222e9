#include "cli/client.h"

#include "cli/cli.h"
#include "os/unix.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum cq_err fail(const char *name, enum cq_err err, const char *text)
{
    (void)cq_cli_fail("%s: %s", name, text);
    return err;
}

static const char *ask_text(enum cq_err err)
{
    if (err == CQ_ERR_EXPIRED)
        return "the node does not answer";
    return err == CQ_ERR_IO ? strerror(errno) : cq_err_text(err);
}

static enum cq_err ask_connected(int fd, const char *name, const struct cq_control_request *request,
                                 struct cq_control_response *out)
{
    char line[CQ_CONTROL_REQUEST_MAX], reason[CQ_CONTROL_ERROR_MAX + 1] = "";
    size_t len, answer_len;
    char *answer;
    enum cq_err err = cq_control_request_encode(request, line, sizeof(line), &len);

    if (err != CQ_OK)
        return fail(name, err, cq_err_text(err));
    err = cq_unix_ask(fd, line, len, CQ_CONTROL_CLIENT_TIMEOUT_MS, CQ_CONTROL_RESPONSE_MAX, &answer,
                      &answer_len);
    if (err != CQ_OK)
        return fail(name, err == CQ_ERR_NOTFOUND ? CQ_ERR_IO : err, ask_text(err));
    err = answer_len == 0 ? CQ_ERR_IO : cq_control_response_decode(out, answer, answer_len, reason);
    free(answer);
    if (err == CQ_ERR_IO)
        return fail(name, err, "the node closed the connection without an answer");
    if (err != CQ_OK)
        return fail(name, err, reason[0] != '\0' ? reason : cq_err_text(err));
    if (out->kind != CQ_CONTROL_KIND_ERROR)
        return CQ_OK;
    err = fail(name, CQ_ERR_STATE, out->error);
    cq_control_response_free(out);
    return err;
}

enum cq_err cq_client_ask(const char *name, const struct cq_control_request *request,
                          struct cq_control_response *out)
{
    int fd;
    enum cq_err err = cq_unix_connect(name, &fd);

    *out = (struct cq_control_response){0};
    if (err == CQ_ERR_NOTFOUND)
        return err;
    if (err == CQ_ERR_PERM)
        return fail(name, err, "not allowed to ask this node (try it as root)");
    if (err != CQ_OK)
        return fail(name, err, ask_text(err));
    err = ask_connected(fd, name, request, out);
    close(fd);
    return err;
}

enum cq_err cq_client_status(const char *name, struct cq_node_status *out)
{
    struct cq_control_request request = {.command = CQ_CONTROL_SHOW};
    struct cq_control_response response;
    enum cq_err err = cq_client_ask(name, &request, &response);

    *out = (struct cq_node_status){0};
    if (err != CQ_OK)
        return err;
    if (response.kind != CQ_CONTROL_KIND_STATUS) {
        cq_control_response_free(&response);
        return fail(name, CQ_ERR_INVALID, "the node answered another question");
    }
    *out = response.status;
    response.status = (struct cq_node_status){0};
    cq_control_response_free(&response);
    return CQ_OK;
}
