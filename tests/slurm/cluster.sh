#!/usr/bin/env bash
# A real SLURM on this machine alone, for tests: munge, accounting with its database, the controller and two nodes.
#
#   tests/slurm/cluster.sh install    Debian's packages (root, or sudo without a password)
#   tests/slurm/cluster.sh up         start; an earlier cluster in the same folder is taken down first
#   eval "$(tests/slurm/cluster.sh env)"    so that sbatch, squeue and Snakemake find it
#   tests/slurm/cluster.sh down       stop all, remove the folder
#   tests/slurm/cluster.sh controller stop|start, tests/slurm/cluster.sh node n1 stop|kill|start    faults
#
# It listens on loopback, needs no systemd and no cgroups, and writes only below $FALSEPROMISE_SLURM (by default a folder
# in /tmp). GPUs are counted: character devices stand in for them, so that SLURM gives them out and sets
# CUDA_VISIBLE_DEVICES as it does for real ones.
set -euo pipefail

S=${FALSEPROMISE_SLURM:-/tmp/falsepromise-slurm-$(id -u)}
PORT=${FALSEPROMISE_SLURM_PORT:-17817} # controller; the next ones: accounting, nodes
ME=$(id -un) HOST=$(hostname -s)
NODES=(n1 n2) CPUS=${FALSEPROMISE_SLURM_CPUS:-16} # CPUs of each node: counted, more than the machine has
PACKAGES=(slurmctld slurmd slurm-client munge slurmdbd mariadb-server)
export SLURM_CONF=$S/etc/slurm.conf
PATH=$PATH:/usr/sbin:/sbin

die() { echo "cluster.sh: $*" >&2; exit 1; }

wait_for() { # what, seconds, command...: until the command succeeds
    local what=$1 until=$((SECONDS + $2)); shift 2
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $until ] || { tail -n 5 "$S"/log/*.log >&2 || true; die "$what did not come up; logs: $S/log"; }
        sleep 0.2
    done
}

running() { # program, pid file: the pid, where it is that program
    local pid; pid=$(cat "$2" 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$1" ] && echo "$pid"
}

stop() { # program, pid file, signal
    local pid; pid=$(running "$1" "$2") || return 0
    kill -"${3:-TERM}" "$pid" 2>/dev/null || true
    for _ in $(seq 100); do [ -d "/proc/$pid" ] || return 0; sleep 0.1; done
    kill -KILL "$pid" 2>/dev/null || true
}

job_processes() { # of one node, or of all: its steps first, then the programs that they run
    local pid environ
    for pid in $(ps -eo pid=,comm= | awk '$2 == "slurmstepd" {print $1}'); do
        [ -n "$(find "/proc/$pid/fd" -lname "$S/log/${1:-*}.log" 2>/dev/null)" ] && echo "$pid"
    done
    for environ in /proc/[0-9]*/environ; do
        { grep -qzxF "SLURM_CONF=$SLURM_CONF" "$environ" && grep -qzE "^SLURMD_NODENAME=${1:-.*}$" "$environ"; } \
            2>/dev/null && basename "$(dirname "$environ")"
    done
    return 0
}

configure() {
    mkdir -p "$S"/{etc,run,log,db,ctld,d,dev}
    chmod 755 "$S" "$S"/*
    head -c 1024 /dev/urandom >"$S/etc/munge.key"; chmod 600 "$S/etc/munge.key"
    local memory; memory=$(($(awk '/^MemTotal/ {print $2}' /proc/meminfo) / 1024 - 512))
    cat >"$SLURM_CONF" <<CONF
ClusterName=ci
SlurmctldHost=$HOST(127.0.0.1)
SlurmctldPort=$PORT
SlurmUser=$ME
SlurmdUser=$ME
AuthType=auth/munge
# A requeued job starts again when its credential has expired: 120 s by default.
AuthInfo=socket=$S/run/munge.socket,cred_expire=15
CredType=cred/munge
StateSaveLocation=$S/ctld
SlurmdSpoolDir=$S/d/%n
SlurmctldPidFile=$S/run/slurmctld.pid
SlurmdPidFile=$S/run/%n.pid
SlurmctldLogFile=$S/log/slurmctld.log
SlurmdLogFile=$S/log/%n.log
MailProg=/bin/true
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=2
JobAcctGatherParams=OverMemoryKill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=1,defer_batch
SchedulerTimeSlice=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
SlurmdParameters=config_overrides
SlurmdTimeout=30
ReturnToService=2
MinJobAge=300
# Between SIGTERM and SIGKILL (30 s by default): training saves in it, on machines that are busy with other tests.
KillWait=120
DefMemPerCPU=1000
$(for i in "${!NODES[@]}"; do
    echo "NodeName=${NODES[i]} NodeHostname=$HOST NodeAddr=127.0.0.1 Port=$((PORT + 2 + i))" \
        "CPUs=$CPUS RealMemory=$memory Gres=gpu:2 State=UNKNOWN"
done)
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE DefaultTime=10 State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=INFINITE DefaultTime=10 State=UP PriorityTier=10
PartitionName=scavenge Nodes=ALL MaxTime=INFINITE DefaultTime=10 State=UP PriorityTier=1 PreemptMode=CANCEL
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$((PORT + 1))
AccountingStoragePass=$S/run/munge.socket
AccountingStorageTRES=gres/gpu
AccountingStorageEnforce=associations,limits,qos
AccountingStoreFlags=job_comment
CONF
    # Regular files would leave CUDA_VISIBLE_DEVICES empty, a bare count makes the nodes invalid.
    local node gpu
    for node in "${NODES[@]}"; do
        for gpu in 0 1; do ln -s /dev/null "$S/dev/$node-gpu$gpu"; done
        echo "NodeName=$node Name=gpu File=$S/dev/$node-gpu[0-1]"
    done >"$S/etc/gres.conf"
    cat >"$S/etc/slurmdbd.conf" <<CONF
AuthType=auth/munge
AuthInfo=socket=$S/run/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=$((PORT + 1))
SlurmUser=$ME
PidFile=$S/run/slurmdbd.pid
LogFile=$S/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
CONF
    chmod 600 "$S/etc/slurmdbd.conf"
}

up() {
    local program
    for program in slurmctld slurmd slurmdbd munged mariadbd squeue; do
        command -v "$program" >/dev/null || die "$program is missing; run: $0 install"
    done
    [ "$(id -u)" = 0 ] || die "SLURM's nodes need root: sudo $0 up"
    down
    configure
    munged --force --key-file="$S/etc/munge.key" --socket="$S/run/munge.socket" --pid-file="$S/run/munged.pid" \
        --log-file="$S/log/munged.log" --seed-file="$S/run/munge.seed" --num-threads=10
    mariadb-install-db --no-defaults --user="$ME" --datadir="$S/db/data" --auth-root-authentication-method=normal \
        --skip-test-db >"$S/log/mariadb-install.log" 2>&1
    setsid mariadbd --no-defaults --user="$ME" --datadir="$S/db/data" --socket="$S/db/mysql.sock" --skip-networking \
        --pid-file="$S/run/mariadbd.pid" --innodb-buffer-pool-size=256M --innodb-lock-wait-timeout=900 \
        >"$S/log/mariadb.log" 2>&1 </dev/null &
    local sql=(mariadb --no-defaults -uroot -S "$S/db/mysql.sock" -e)
    wait_for "the database" 60 "${sql[@]}" "SELECT 1"
    "${sql[@]}" "CREATE USER slurm@localhost IDENTIFIED BY 'slurm'; GRANT ALL ON slurm_acct_db.* TO slurm@localhost"
    MYSQL_UNIX_PORT=$S/db/mysql.sock slurmdbd
    wait_for "accounting" 60 sacctmgr -n show cluster
    sacctmgr -iQ add cluster ci >/dev/null
    sacctmgr -iQ add account ci Description=ci Organization=ci >/dev/null
    sacctmgr -iQ add user "$ME" account=ci DefaultAccount=ci >/dev/null
    controller start
    for node in "${NODES[@]}"; do node "$node" start; done
    wait_for "nodes" 60 idle
    echo "SLURM $(slurmctld -V | cut -d' ' -f2) with the nodes ${NODES[*]} in $S; to use it: eval \"\$($0 env)\""
}

idle() { [ "$(sinfo -hN -p main -o %t | sort -u)" = idle ]; }

controller() { # stop | start
    case ${1:-} in
        stop) stop slurmctld "$S/run/slurmctld.pid" ;;
        start) slurmctld; wait_for "the controller" 30 scontrol ping ;;
        *) die "controller stop|start" ;;
    esac
}

node() { # name, stop (jobs go on) | kill (with all that runs on it, as a power cut) | start
    [[ " ${NODES[*]} " == *" ${1:-} "* ]] || die "node ${NODES[*]}, stop|kill|start"
    case ${2:-} in
        stop) stop slurmd "$S/run/$1.pid" KILL ;;
        kill)
            local processes; processes=$(job_processes "$1")
            # shellcheck disable=SC2086
            kill -KILL "$(running slurmd "$S/run/$1.pid")" $processes 2>/dev/null || true ;;
        start) slurmd -N "$1" ;;
        *) die "node NAME stop|kill|start" ;;
    esac
}

down() {
    [ -d "$S" ] || return 0
    [ -f "$SLURM_CONF" ] || [ -z "$(ls -A "$S")" ] || die "$S is not a cluster's folder; set FALSEPROMISE_SLURM"
    local node
    for node in "${NODES[@]}"; do stop slurmd "$S/run/$node.pid"; done
    stop slurmctld "$S/run/slurmctld.pid" KILL
    # shellcheck disable=SC2046
    kill -KILL $(job_processes) 2>/dev/null || true
    stop slurmdbd "$S/run/slurmdbd.pid"
    stop mariadbd "$S/run/mariadbd.pid"
    stop munged "$S/run/munged.pid"
    rm -rf "$S"
}

install() {
    local as_root=()
    [ "$(id -u)" = 0 ] || as_root=(sudo -n)
    command -v apt-get >/dev/null || die "installs Debian's packages (${PACKAGES[*]}); this machine has no apt-get"
    "${as_root[@]}" true 2>/dev/null || die "can't become root without a password; as root: $0 install"
    # The packages' own daemons must not start: where there is no systemd they can't, elsewhere this tells them.
    export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${PACKAGES[@]}" >/dev/null
}

case ${1:-} in
    install) install ;;
    up) up ;;
    down) down ;;
    env) echo "export SLURM_CONF=$SLURM_CONF" ;;
    controller | node) "$@" ;;
    *)
        sed -n '2,/^set/p' "$0" | grep '^#' | cut -c3-
        [ "${1:-}" = --help ] || [ "${1:-}" = -h ] || exit 2 ;;
esac
