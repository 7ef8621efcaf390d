/* Address ranges: what is inside, what is not, what is no range. */
#include "os/os_cidr.c"
#include "tap.h"

int main(void)
{
    static const struct {
        const char *range, *address;
        bool inside;
    } cases[] = {
        {"10.0.0.0/8", "10.255.1.2", true},       {"10.0.0.0/8", "11.0.0.1", false},
        {"10.1.128.0/17", "10.1.200.1", true},    {"10.1.128.0/17", "10.1.127.1", false},
        {"192.0.2.7", "192.0.2.7", true},         {"192.0.2.7", "192.0.2.8", false},
        {"0.0.0.0/0", "203.0.113.9", true},       {"0.0.0.0/0", "::1", false},
        {"2001:db8::/32", "2001:db8:9::1", true}, {"2001:db8::/32", "2001:db9::1", false},
        {"10.0.0.0/8", "::ffff:10.1.1.1", true},  {"::1", "::1", true},
    };
    static const char *const wrong[] = {"",           "10.0.0.0/33", "10.0.0/8",
                                        "::/129",     "host",        "10.0.0.1/",
                                        "10.0.0.1/x", "10.0.0.1/8x", "1.2.3.4/-1"};
    struct fp_cidr c;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fp_addr a;
        ok(fp_cidr_parse(&c, cases[i].range) == 0 && fp_addr_parse(&a, cases[i].address, 0) == 0 &&
               fp_cidr_contains(&c, &a) == cases[i].inside,
           "%s %s %s", cases[i].address, cases[i].inside ? "is in" : "is not in", cases[i].range);
    }
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        is_int(fp_cidr_parse(&c, wrong[i]), -EINVAL, "'%s' is no range", wrong[i]);
    return done_testing();
}
