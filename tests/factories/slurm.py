"""A Slurm of one node on this machine, on loopback."""

import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

# The only place where all of Slurm's programs look: jobs lose the variable that names another.
CONFIGURATION = Path("/etc/slurm/slurm.conf")
MARK = "# Written by the tests of ebm-bench"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")
MEMORY = 64_000  # MB, whatever the machine has
GPUS = 2
SECONDS = 300  # until what does not answer is given up, on a busy machine too


def obstacle():
    """Why no Slurm can be started here; empty if nothing is in the way."""
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    if missing:
        return f"{', '.join(missing)} not found; on Debian: apt install slurm-wlm munge"
    if os.geteuid():
        return f"only root can write {CONFIGURATION} and start Slurm's daemons"
    if CONFIGURATION.exists() and MARK not in CONFIGURATION.read_text():
        return f"{CONFIGURATION} is that of a cluster"
    return ""


class Slurm:
    """The daemons, with their files in one folder; `stop` ends them.

    The node has as many processors as are given, whatever the machine has, and devices that are
    copies of /dev/null for GPUs.
    """

    def __init__(self, folder, processors=4):
        self.folder = folder
        for part in ("state", "spool", "munge"):
            (folder / part).mkdir(parents=True)
        self._stop_leftovers()
        name = socket.gethostname().split(".")[0]
        for number in range(GPUS):
            os.mknod(folder / f"gpu{number}", 0o600 | 0o020000, os.makedev(1, 3))
        ports = [_free_port() for _ in range(2)]
        CONFIGURATION.parent.mkdir(exist_ok=True)
        CONFIGURATION.with_name("gres.conf").write_text(
            f"{MARK}\nAutoDetect=off\nNodeName={name} Name=gpu File={folder}/gpu[0-{GPUS - 1}]\n"
        )
        CONFIGURATION.write_text(
            _CONFIGURATION.format(
                mark=MARK, folder=folder, name=name, controller=ports[0], node=ports[1],
                processors=processors, memory=MEMORY, gpus=GPUS,
            )
        )  # fmt: skip
        self.processes = []
        self._start()

    def _start(self):
        munge = self.folder / "munge"
        (munge / "key").write_bytes(os.urandom(128))
        (munge / "key").chmod(0o600)
        try:
            self._run(
                "munged", "--foreground", "--force", f"--socket={munge}/socket",
                f"--key-file={munge}/key", f"--pid-file={munge}/pid", f"--log-file={munge}/log",
                f"--seed-file={munge}/seed",
            )  # fmt: skip
            self._await(lambda: (munge / "socket").exists())
            self._run("slurmctld", "-D")
            self._run("slurmd", "-D", "-N", socket.gethostname().split(".")[0])
            self._await(lambda: "idle" in self.ask("sinfo", "-h", "-o", "%t"))
        except BaseException:
            self.stop()
            raise

    def _run(self, *command):
        with (self.folder / f"{command[0]}.out").open("w") as out:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
            )
        self.processes.append(process)
        (self.folder / f"{command[0]}.pid").write_text(str(process.pid))

    def _await(self, condition):
        """Wait until a condition holds, for so long as the daemons live."""
        ending = time.monotonic() + SECONDS
        while not condition():
            dead = [p.args[0] for p in self.processes if p.poll() is not None]
            if dead or time.monotonic() > ending:
                told = "\n".join(
                    f"{path.name}:\n{path.read_text()[-1500:]}"
                    for path in [*self.folder.glob("*.out"), *self.folder.glob("*.log")]
                )
                raise RuntimeError(f"Slurm did not start; ended: {dead or 'none'}\n{told}")
            time.sleep(0.1)

    def ask(self, *command):
        """Output of one of Slurm's commands; empty where it fails."""
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        return done.stdout if done.returncode == 0 else ""

    def jobs(self, *states):
        """Jobs, as a dict of number to (rule, state)."""
        chosen = ",".join(states) or "all"
        lines = self.ask("squeue", "-h", f"--states={chosen}", "-o", "%i|%k|%T").splitlines()
        rows = (line.split("|") for line in lines)
        return {number: (comment.removeprefix("rule_"), state) for number, comment, state in rows}

    def stop(self):
        """End all jobs and daemons, and remove the configuration."""
        if len(self.processes) == len(PROGRAMS[:3]):
            self.ask("scancel", f"--user={os.geteuid()}")
            ending = time.monotonic() + 10
            while self.ask("squeue", "-h") and time.monotonic() < ending:
                time.sleep(0.1)
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for path in (CONFIGURATION, CONFIGURATION.with_name("gres.conf")):
            path.unlink(missing_ok=True)

    @staticmethod
    def _stop_leftovers():
        """End the daemons of tests that were killed."""
        if not CONFIGURATION.exists():
            return
        lines = CONFIGURATION.read_text().splitlines()
        state = next(line for line in lines if line.startswith("StateSaveLocation="))
        folder = Path(state.partition("=")[2]).parent
        for path in folder.glob("*.pid"):
            number = int(path.read_text())
            with suppress(OSError):
                if Path(f"/proc/{number}/comm").read_text().strip() == path.stem:
                    os.kill(number, signal.SIGTERM)


def _free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


_CONFIGURATION = """{mark}
ClusterName=tests
SlurmctldHost={name}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={controller}
SlurmdPort={node}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/state/slurmctld.pid
SlurmdPidFile={folder}/state/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=5
ReturnToService=2
SlurmdParameters=config_overrides
MinJobAge=3600
KillWait=5
MessageTimeout=100
BatchStartTimeout=300
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=2
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
GresTypes=gpu
NodeName={name} NodeAddr=127.0.0.1 CPUs={processors} RealMemory={memory} Gres=gpu:{gpus}
PartitionName=cpu Nodes={name} Default=YES MaxTime=12:00:00 State=UP
PartitionName=gpu Nodes={name} Default=NO MaxTime=12:00:00 State=UP
"""
