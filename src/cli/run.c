#include "cli/run.h"

#include "node/node.h"

bool cq_cli_is_node(int argc, char **argv)
{
    return cq_node_is_child(argc, argv);
}

int cq_cli_node(void)
{
    return cq_node_child();
}

int cq_cli_run(struct cq_conf *conf, const char *path, bool foreground)
{
    struct cq_node_run_options options = {.foreground = foreground, .config_path = path};

    return cq_node_run(conf, &options);
}

int cq_cli_stop(const char *interface)
{
    return cq_node_down(interface);
}
