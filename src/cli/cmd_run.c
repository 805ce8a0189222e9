#include "cli/args.h"
#include "cli/cli.h"
#include "cli/confload.h"
#include "cli/keys.h"
#include "cli/run.h"

static int run_file(const char *text)
{
    char path[CQ_CONFLOAD_PATH_MAX];
    struct cq_conf conf;
    int status = cq_confload_path("run", text, path);

    if (status != CQ_EXIT_OK)
        return status;
    status = cq_confload_file(&conf, path);
    if (status != CQ_EXIT_OK)
        return status;
    status = cq_cli_run(&conf, path, true);
    cq_conf_free(&conf);
    return status;
}

static int run_args(struct cq_args *a)
{
    int status = cq_args_finish(a);

    return status == CQ_EXIT_OK ? cq_cli_run(&a->conf, NULL, true) : status;
}

static int run(int argc, char **argv)
{
    struct cq_cli_args args = {.command = "run", .argc = argc, .argv = argv, .at = 1};
    const char *file = NULL;
    struct cq_args a;
    int option;
    int status = cq_keys_init(CQ_KEYS_MEMORY_CONFIG);

    cq_args_init(&a);
    while (status == CQ_EXIT_OK && (option = cq_cli_next(&args, cq_args_options)) != CQ_CLI_END) {
        if (option == CQ_CLI_BAD)
            status = CQ_EXIT_USAGE;
        else if (option != CQ_CLI_ARGUMENT)
            status = cq_args_take(&a, option, args.value);
        else if (file != NULL)
            status = cq_cli_usage("run", "more than one configuration file");
        else
            file = args.value;
    }
    if (status == CQ_EXIT_OK && file != NULL && a.used)
        status = cq_cli_usage("run", "either a configuration file or options, not both");
    if (status == CQ_EXIT_OK)
        status = file != NULL ? run_file(file) : run_args(&a);
    cq_conf_free(&a.conf);
    return status;
}

const struct cq_cli_command cq_cmd_run = {
    .name = "run",
    .arguments = "NAME|FILE\n"
                 "       cryprq run --key FILE --listen PORT --allow-peer PEERID --address CIDR\n"
                 "       cryprq run --key FILE --peer PEERID@HOST:PORT --address CIDR",
    .summary = "Run a node in the foreground",
    .help =
        "NAME stands for /etc/cryprq/NAME.conf; the interface is called like the file. The node "
        "runs until\n"
        "SIGTERM or SIGINT and then puts everything back. Without a file:\n"
        "\n"
        "  --key FILE                the secret key (cryprq genkey), readable by its owner alone\n"
        "  --listen PORT             UDP port; without it the kernel chooses one, and requests for "
        "our public\n"
        "                            key are not answered\n"
        "  --address CIDR            address of the interface with its network (10.9.0.1/24); "
        "repeatable\n"
        "  --allow-peer PEERID[=CIDR,...]\n"
        "                            a peer that calls us; repeatable\n"
        "  --peer PEERID@HOST:PORT[=CIDR,...]\n"
        "                            a peer that we call; repeatable. IPv6: "
        "PEERID@[2001:db8::1]:51820\n"
        "  --rotate-secs SECONDS     age at which keys end, 60 to 3600 (300)\n"
        "  --interface NAME          cryprq0 unless given\n"
        "  --metrics-addr ADDR:PORT  where the metrics server listens, or none; unless given the "
        "first free\n"
        "                            port of 127.0.0.1 from 9464 to 9473\n"
        "  --tun-offload on|tso|checksum|off, --udp-gso on|off, --udp-gro on|off, --workers auto|N\n"
        "                            like TunOffload, UdpGso, UdpGro and Workers of a file "
        "(cryprq.conf(5))\n"
        "  --log-format kv|json      form of log lines: key=value (default), or one JSON object "
        "each; goes with\n"
        "                            a file as well\n"
        "\n"
        "CIDR after a PEERID are the addresses behind that peer (its allowed IPs). A single peer "
        "without any\n"
        "gets the networks of --address; with several peers each one needs its own, and they must "
        "not overlap.\n"
        "\n"
        "Environment (where no file is given, and arguments come first):\n"
        "  CRYPRQ_ROTATE_SECS        like --rotate-secs\n"
        "  CRYPRQ_ALLOW_PEERS        PEERID[=CIDR,...],PEERID[=CIDR,...], like --allow-peer\n"
        "  CRYPRQ_METRICS_ADDR       like --metrics-addr\n"
        "  CRYPRQ_TUN_OFFLOAD, CRYPRQ_UDP_GSO, CRYPRQ_UDP_GRO, CRYPRQ_WORKERS\n"
        "                            like the options of these names\n"
        "Always:\n"
        "  CRYPRQ_LOG                error, warn, info (default) or debug\n"
        "  CRYPRQ_LOG_FORMAT         like --log-format\n",
    .run = run,
};
