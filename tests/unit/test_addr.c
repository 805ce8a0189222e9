/* Addresses and prefixes: parsing, text forms, comparison. */
#include "base/addr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* text and what it is printed as; NULL: not valid */
static const struct {
    const char *text;
    const char *printed;
} ips[] = {
    {"192.0.2.1", "192.0.2.1"},
    {"0.0.0.0", "0.0.0.0"},
    {"255.255.255.255", "255.255.255.255"},
    {"::", "::"},
    {"::1", "::1"},
    {"2001:DB8::1", "2001:db8::1"},
    {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
    {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
    {"2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1"},
    {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
    {"", NULL},
    {"192.0.2", NULL},
    {"192.0.2.1.", NULL},
    {"192.0.2.256", NULL},
    {"192.0.2.01", NULL},
    {"192.0.2.1 ", NULL},
    {" 192.0.2.1", NULL},
    {"3221225985", NULL},
    {"0xc0.0.2.1", NULL},
    {"+1.0.2.1", NULL},
    {"2001:db8::1::2", NULL},
    {"2001:db8:::1", NULL},
    {"12345::", NULL},
    {"fe80::1%3", NULL},
    {"[::1]", NULL},
    {"1:2:3:4:5:6:7", NULL},
    {"1:2:3:4:5:6:7:8:9", NULL},
    {"g::", NULL},
    {"example.org", NULL},
    {"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000", NULL},
};

static void test_ip(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(ips); i++) {
        struct cq_ip ip;
        char text[CQ_IP_TEXT_MAX];
        memset(&ip, 0xff, sizeof(ip));
        enum cq_err err = cq_ip_parse(ips[i].text, &ip);
        if (ips[i].printed == NULL) {
            assert_int_equal(err, CQ_ERR_INVALID);
            assert_memory_equal(&ip, &(struct cq_ip){0}, sizeof(ip));
            continue;
        }
        assert_int_equal(err, CQ_OK);
        assert_string_equal(cq_ip_format(&ip, text), ips[i].printed);
    }
    char text[CQ_IP_TEXT_MAX];
    assert_string_equal(cq_ip_format(&(struct cq_ip){0}, text), "none");
}

static const struct {
    const char *text;
    const char *printed;
} addrs[] = {
    {"192.0.2.1:51820", "192.0.2.1:51820"},
    {"192.0.2.1:0", "192.0.2.1:0"},
    {"192.0.2.1:65535", "192.0.2.1:65535"},
    {"[2001:db8::1]:51820", "[2001:db8::1]:51820"},
    {"[fe80::1%3]:1", "[fe80::1%3]:1"},
    {"[fe80::1%4294967295]:1", "[fe80::1%4294967295]:1"},
    {"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535",
     "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535"},
    {"", NULL},
    {"192.0.2.1", NULL},
    {"192.0.2.1:", NULL},
    {"192.0.2.1:65536", NULL},
    {"192.0.2.1:051820", NULL},
    {"192.0.2.1:-1", NULL},
    {"192.0.2.1:+1", NULL},
    {"192.0.2.1: 1", NULL},
    {"192.0.2.1:1x", NULL},
    {"192.0.2.1:99999999999", NULL},
    {"192.0.2.1:18446744073709551617", NULL},
    {"192.0.2.1%3:1", NULL},
    {"[192.0.2.1]:1", NULL},
    {"2001:db8::1:51820", NULL},
    {"[2001:db8::1]", NULL},
    {"[2001:db8::1]51820", NULL},
    {"[2001:db8::1", NULL},
    {"[fe80::1%]:1", NULL},
    {"[fe80::1%0]:1", NULL},
    {"[fe80::1%03]:1", NULL},
    {"[fe80::1%eth0]:1", NULL},
    {"[fe80::1%4294967296]:1", NULL},
    {"[]:1", NULL},
    {"[", NULL},
    {":1", NULL},
};

static void test_addr(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(addrs); i++) {
        struct cq_addr a;
        char text[CQ_ADDR_TEXT_MAX];
        memset(&a, 0xff, sizeof(a));
        enum cq_err err = cq_addr_parse(addrs[i].text, &a);
        if (addrs[i].printed == NULL) {
            assert_int_equal(err, CQ_ERR_INVALID);
            assert_memory_equal(&a, &(struct cq_addr){0}, sizeof(a));
            continue;
        }
        assert_int_equal(err, CQ_OK);
        assert_string_equal(cq_addr_format(&a, text), addrs[i].printed);
    }
    char text[CQ_ADDR_TEXT_MAX];
    assert_string_equal(cq_addr_format(&(struct cq_addr){0}, text), "none");
}

static const struct {
    const char *text;
    const char *printed; /* host bits cleared */
    const char *host;
} prefixes[] = {
    {"10.1.2.3/8", "10.0.0.0/8", "10.1.2.3"},
    {"10.1.2.3", "10.1.2.3/32", "10.1.2.3"},
    {"255.255.255.255/0", "0.0.0.0/0", "255.255.255.255"},
    {"255.255.255.255/1", "128.0.0.0/1", "255.255.255.255"},
    {"255.255.255.255/31", "255.255.255.254/31", "255.255.255.255"},
    {"192.168.127.1/17", "192.168.0.0/17", "192.168.127.1"},
    {"fd00::5/64", "fd00::/64", "fd00::5"},
    {"fd00::5", "fd00::5/128", "fd00::5"},
    {"ffff::/7", "fe00::/7", "ffff::"},
    {"::1/0", "::/0", "::1"},
    {"2001:db8:ffff:ffff::/33", "2001:db8:8000::/33", "2001:db8:ffff:ffff::"},
    {"10.0.0.0/33", NULL, NULL},
    {"fd00::/129", NULL, NULL},
    {"10.0.0.0/", NULL, NULL},
    {"10.0.0.0/08", NULL, NULL},
    {"10.0.0.0/-1", NULL, NULL},
    {"10.0.0.0/8/8", NULL, NULL},
    {"10.0.0/8", NULL, NULL},
    {"/8", NULL, NULL},
    {"", NULL, NULL},
};

static void test_prefix(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(prefixes); i++) {
        struct cq_prefix p;
        struct cq_prefix again;
        struct cq_ip host;
        char text[CQ_PREFIX_TEXT_MAX];
        memset(&p, 0xff, sizeof(p));
        memset(&host, 0xff, sizeof(host));
        enum cq_err err = cq_prefix_parse(prefixes[i].text, &p, &host);
        if (prefixes[i].printed == NULL) {
            assert_int_equal(err, CQ_ERR_INVALID);
            assert_memory_equal(&p, &(struct cq_prefix){0}, sizeof(p));
            assert_memory_equal(&host, &(struct cq_ip){0}, sizeof(host));
            continue;
        }
        assert_int_equal(err, CQ_OK);
        assert_string_equal(cq_prefix_format(&p, text), prefixes[i].printed);
        assert_int_equal(cq_prefix_parse(text, &again, NULL), CQ_OK);
        assert_true(cq_prefix_equal(&p, &again));
        assert_true(cq_prefix_contains(&p, &host));
        assert_string_equal(cq_ip_format(&host, text), prefixes[i].host);
    }
}

static const struct {
    const char *prefix;
    const char *ip;
    bool contained;
} contained[] = {
    {"10.0.0.0/8", "10.255.255.255", true},
    {"10.0.0.0/8", "11.0.0.0", false},
    {"0.0.0.0/0", "203.0.113.9", true},
    {"0.0.0.0/0", "::", false},
    {"192.168.0.0/17", "192.168.127.255", true},
    {"192.168.0.0/17", "192.168.128.0", false},
    {"192.0.2.1/32", "192.0.2.1", true},
    {"192.0.2.1/32", "192.0.2.0", false},
    {"::/0", "2001:db8::1", true},
    {"::/0", "192.0.2.1", false},
    {"fd00::/63", "fd00:0:0:1::", true},
    {"fd00::/63", "fd00:0:0:2::", false},
    {"fd00::1/128", "fd00::1", true},
    {"fd00::1/128", "fd00::", false},
};

static void test_contains(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(contained); i++) {
        struct cq_prefix p;
        struct cq_ip ip;
        assert_int_equal(cq_prefix_parse(contained[i].prefix, &p, NULL), CQ_OK);
        assert_int_equal(cq_ip_parse(contained[i].ip, &ip), CQ_OK);
        assert_int_equal(cq_prefix_contains(&p, &ip), contained[i].contained);
    }
    assert_false(cq_prefix_contains(&(struct cq_prefix){0}, &(struct cq_ip){0}));
}

static const struct {
    const char *text;
    bool usable;
} usable[] = {
    {"192.0.2.1:1", true},
    {"127.0.0.1:1", true},
    {"[2001:db8::1]:1", true},
    {"[fe80::1%2]:1", true},
    {"[::1]:1", true},
    {"[::ffff:192.0.2.1]:1", true},
    {"192.0.2.1:0", false},
    {"0.0.0.0:1", false},
    {"255.255.255.255:1", false},
    {"224.0.0.1:1", false},
    {"239.255.255.255:1", false},
    {"[::]:1", false},
    {"[ff02::1]:1", false},
    {"[::ffff:224.0.0.1]:1", false},
    {"[::ffff:0.0.0.0]:1", false},
    {"[2001:db8::1]:0", false},
};

static void test_usable(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(usable); i++) {
        struct cq_addr a;
        assert_int_equal(cq_addr_parse(usable[i].text, &a), CQ_OK);
        assert_int_equal(cq_addr_is_usable(&a), usable[i].usable);
    }
    assert_false(cq_addr_is_usable(&(struct cq_addr){.port = 1}));
}

static void test_equality(void **state)
{
    struct cq_addr a = {.ip = {CQ_FAMILY_IPV4, {192, 0, 2, 1}}, .port = 5};
    struct cq_addr b = a;

    (void)state;
    assert_true(cq_addr_equal(&a, &b));
    b.port = 6;
    assert_false(cq_addr_equal(&a, &b));
    b = a;
    b.scope_id = 1;
    assert_false(cq_addr_equal(&a, &b));
    b = a;
    b.ip.bytes[3] = 2;
    assert_false(cq_addr_equal(&a, &b));
    b = a;
    b.ip.family = CQ_FAMILY_IPV6;
    assert_false(cq_ip_equal(&a.ip, &b.ip));
    assert_true(cq_ip_equal(&(struct cq_ip){0}, &(struct cq_ip){0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ip),     cmocka_unit_test(test_addr),
        cmocka_unit_test(test_prefix), cmocka_unit_test(test_contains),
        cmocka_unit_test(test_usable), cmocka_unit_test(test_equality),
    };
    return cmocka_run_group_tests_name("addr", tests, NULL, NULL);
}
