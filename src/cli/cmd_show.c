#include "cli/cli.h"
#include "cli/client.h"
#include "cli/show.h"
#include "os/unix.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum form { FORM_TEXT, FORM_DUMP, FORM_JSON };

struct show {
    enum form form;
    bool all; /* every interface: dump lines have a name, JSON is an array */
    bool colour;
    size_t shown;
};

static int print_json(const struct cq_node_status *status)
{
    size_t len;
    char *text;

    if (cq_node_status_to_json(status, true, &text, &len) != CQ_OK)
        return cq_cli_fail("out of memory");
    fwrite(text, 1, len, stdout);
    free(text);
    return CQ_EXIT_OK;
}

static int print_status(struct show *show, struct cq_node_status *status)
{
    int result = CQ_EXIT_OK;

    switch (show->form) {
    case FORM_TEXT:
        if (show->shown > 0)
            printf("\n");
        cq_show_text(status, show->colour);
        break;
    case FORM_DUMP:
        cq_show_dump(status, show->all);
        break;
    case FORM_JSON:
        if (show->shown > 0)
            printf(",\n");
        result = print_json(status);
        if (!show->all)
            printf("\n");
        break;
    }
    show->shown++;
    return result;
}

static int show_one(struct show *show, const char *name)
{
    struct cq_node_status status;
    enum cq_err err = cq_client_status(name, &status);

    /* A socket that nobody answers is what a killed node left behind. */
    if (err == CQ_ERR_NOTFOUND && show->all)
        return CQ_EXIT_OK;
    if (err == CQ_ERR_NOTFOUND)
        return cq_cli_fail("%s: no such interface is running", name);
    if (err != CQ_OK)
        return CQ_EXIT_FAILURE;
    int result = print_status(show, &status);
    cq_node_status_free(&status);
    return result;
}

static int show_all(struct show *show)
{
    int result = CQ_EXIT_OK;
    size_t num = 0;
    char **names;

    if (cq_unix_list(&names, &num) != CQ_OK)
        return cq_cli_fail("cannot list the interfaces");
    if (show->form == FORM_JSON)
        printf("[");
    for (size_t i = 0; i < num; i++) {
        if (show_one(show, names[i]) != CQ_EXIT_OK)
            result = CQ_EXIT_FAILURE;
        free(names[i]);
    }
    free(names);
    if (show->form == FORM_JSON)
        printf("]\n");
    return result;
}

static int run(int argc, char **argv)
{
    const char *no_colour = getenv("NO_COLOR");
    struct show show = {
        .colour = isatty(STDOUT_FILENO) && (no_colour == NULL || no_colour[0] == '\0'),
    };
    const char *args[2];

    if (cq_cli_arguments("show", argc, argv, 0, 2, args) != CQ_OK)
        return CQ_EXIT_USAGE;
    if (args[1] != NULL && strcmp(args[1], "dump") == 0)
        show.form = FORM_DUMP;
    else if (args[1] != NULL && strcmp(args[1], "json") == 0)
        show.form = FORM_JSON;
    else if (args[1] != NULL)
        return cq_cli_usage("show", "%.40s is neither dump nor json", args[1]);
    show.all = args[0] == NULL || strcmp(args[0], "all") == 0;
    if (show.all)
        return show_all(&show);
    if (!cq_conf_interface_is_valid(args[0]))
        return cq_cli_usage("show", "%.40s is not an interface's name", args[0]);
    return show_one(&show, args[0]);
}

const struct cq_cli_command cq_cmd_show = {
    .name = "show",
    .arguments = "[NAME|all [dump|json]]",
    .summary = "Show the state of running interfaces",
    .help =
        "Without a form the state is laid out for people, latest handshake first.\n"
        "\n"
        "  dump   tab-separated. A line for the interface: (hidden), peer ID, port, mark, MTU, "
        "rotation period;\n"
        "         then one for each peer: ID, preshared key (hidden or none), endpoint, allowed "
        "IPs, time of the\n"
        "         latest handshake, bytes received, bytes sent, persistent keepalive, name, suite, "
        "session ID,\n"
        "         handshake duration (us), age of keys (s), time to the next rotation (s), "
        "handshakes as\n"
        "         initiator, as responder, rotations, failed attempts. With all, the name comes "
        "first.\n"
        "  json   one object with everything (drop counters included); with all, an array of them\n"
        "\n"
        "Keys are never shown. Colours are used on a terminal, unless NO_COLOR is set.\n",
    .run = run,
};
