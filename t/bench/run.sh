# make bench: prints figures and ratios, asserts nothing.  BENCH_FLAGS="road start" runs only these.
# The peer and the many-Envoys client of `fan` come from ../shared/tools (FP_BENCH_TOOLS), when there.
cd "$(dirname "$0")/../.." || exit 1
echo "# $(uname -sr), $(nproc) CPUs, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | sed 1q), $(date -u +%Y-%m-%d)"
echo "# $(git describe --always --dirty 2> /dev/null), $(sed -n 's/^#define FP_COMPILER //p' "${FP_OBJS:-objs}/fp_config.h")"
# on a machine that others use, `chrt -r 5 make bench` keeps them out of the figures
echo "# load $(cut -d' ' -f1-3 /proc/loadavg), $(chrt -p $$ 2> /dev/null | sed -n 's/.*policy: //p')"
for part in ${*:-encode publish start road rest apply fan}; do
    if [ -x "${FP_OBJS:-objs}/t/bench/$part" ]; then "${FP_OBJS:-objs}/t/bench/$part"; continue; fi
    [ ! -f "t/bench/$part.py" ] || sh t/lib/run.sh "t/bench/$part.py"
done
