# run.sh FILE: what prove calls for every test.  A C test is its program in $FP_OBJS, anything else
# is run by the interpreter its first line names (python3: $FP_PYTHON, the private one of
# auto/check, or the system's).  No test may hang: FP_TEST_TIMEOUT seconds (900), then TERM, KILL.
cache=$(. auto/need && need_cache)
if [ -z "${FP_PYTHON:-}" ]; then
    if [ -x "$cache/venv/bin/python3" ]; then FP_PYTHON=$cache/venv/bin/python3; else FP_PYTHON=python3; fi
fi
if [ -z "${FP_ENVOY:-}" ] && [ -x "$cache/venv/bin/envoy" ]; then FP_ENVOY=$cache/venv/bin/envoy; fi
PATH=$PATH:/usr/sbin:/sbin:$cache/root/usr/sbin:$cache/bin
FP_OBJS=${FP_OBJS:-objs}
FP_TOP=$(pwd)
PYTHONPATH=$FP_TOP/t/lib${PYTHONPATH:+:$PYTHONPATH}
PYTHONDONTWRITEBYTECODE=1
export PATH FP_PYTHON FP_ENVOY FP_OBJS FP_TOP PYTHONPATH PYTHONDONTWRITEBYTECODE

# Sanitizers: the first finding ends the program, and goes to stderr, which the harness reads.
ASAN_OPTIONS=${ASAN_OPTIONS:-abort_on_error=0:detect_leaks=1:strict_string_checks=1:quarantine_size_mb=2}
UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export ASAN_OPTIONS UBSAN_OPTIONS

within="timeout -k 10 ${FP_TEST_TIMEOUT:-900}"
case $1 in
*.c) exec $within "$FP_OBJS/${1%.c}" ;;
esac
read -r first < "$1"
case $first in
*python3*) exec $within "$FP_PYTHON" "$1" ;;
*) exec $within sh "$1" ;;
esac
