/* Prints the directive part of flowplane.conf(5) from the tables.  Runs at build time only. */
#include <stdio.h>
#include "conf/conf.h"

int main(void)
{
    fp_conf_print_man(stdout);
    return fflush(stdout) == 0 ? 0 : 1;
}
