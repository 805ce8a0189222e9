#include "cli/keys.h"

#include "base/base64.h"
#include "base/mem.h"
#include "base/secret.h"
#include "cli/cli.h"
#include "conf/config.h"
#include "crypto/crypto.h"
#include "os/file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int cq_keys_init(size_t max_bytes)
{
    /* Where the limit on locked memory is low, working unlocked is better than not working. */
    if (cq_secret_init(max_bytes, false) != CQ_OK)
        return cq_cli_fail("out of memory");
    enum cq_err err = cq_crypto_init(true);
    if (err != CQ_OK)
        return cq_cli_fail("cannot use libcrypto (%s): %s", cq_crypto_version(), cq_err_text(err));
    return CQ_EXIT_OK;
}

/* Reads to the end or until size bytes are there; errno says why when it gives false. */
static bool read_all(int fd, char *out, size_t size, size_t *out_len)
{
    *out_len = 0;
    while (*out_len < size) {
        ssize_t n = read(fd, out + *out_len, size - *out_len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        if (n == 0)
            break;
        *out_len += (size_t)n;
    }
    return true;
}

int cq_keys_read_stdin(uint8_t out[32])
{
    enum { TEXT_MAX = 256 };
    char *text = cq_secret_alloc(TEXT_MAX);
    int status = CQ_EXIT_OK;
    size_t len;

    if (text == NULL)
        return cq_cli_fail("out of memory");
    if (!read_all(STDIN_FILENO, text, TEXT_MAX, &len))
        status = cq_cli_fail("cannot read standard input: %s", strerror(errno));
    else if (cq_conf_parse_key32(out, text, len) != CQ_OK)
        status = cq_cli_fail("standard input is not a key: 44 characters of base64 are expected");
    cq_secret_free(text);
    return status;
}

int cq_keys_write_stdout(const uint8_t *key, size_t len)
{
    size_t text_len = CQ_BASE64_LEN(len);
    char *text = cq_secret_alloc(text_len + 2);
    int status = CQ_EXIT_OK;

    if (text == NULL)
        return cq_cli_fail("out of memory");
    cq_base64_encode(key, len, text);
    text[text_len] = '\n';
    if (cq_file_write_all(STDOUT_FILENO, text, text_len + 1) != CQ_OK)
        status = cq_cli_fail("cannot write to standard output: %s", strerror(errno));
    cq_secret_free(text);
    return status;
}

/* A secret in a file that everybody can read will be refused later; better to say so now. */
static void warn_of_readers(void)
{
    struct stat st;

    if (fstat(STDOUT_FILENO, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 077) != 0)
        (void)cq_cli_fail("warning: others can read the file that this key goes to: chmod 600 it, "
                          "and set umask 077 before");
}

int cq_keys_generate(void)
{
    int status = cq_keys_init(CQ_KEYS_MEMORY_SMALL);
    uint8_t *key;

    if (status != CQ_EXIT_OK)
        return status;
    key = cq_secret_alloc(32);
    if (key == NULL)
        return cq_cli_fail("out of memory");
    if (cq_crypto_random(key, 32) != CQ_OK) {
        cq_secret_free(key);
        return cq_cli_fail("the random generator failed");
    }
    warn_of_readers();
    status = cq_keys_write_stdout(key, 32);
    cq_secret_free(key);
    return status;
}
