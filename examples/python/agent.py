#!/usr/bin/env python3
"""A small agent, written from proto/README.md alone: what an agent is on the wire, to read or to begin another one with.

    apt-get install python3-websockets python3-cryptography python3-protobuf protobuf-compiler libprotobuf-dev
    CAH_ENROLL=cahjoin_... python3 examples/python/agent.py http://127.0.0.1:8080 ./agent-state

It runs one job at a time, WITHOUT A SANDBOX: on a hub of your own, with jobs of your own. It keeps its key, but no journal:
what it held when it ended is lost, and the hub gives it to another node. Use cah-agent for anything but a look.
"""

import asyncio
import hashlib
import io
import os
import pathlib
import secrets
import struct
import subprocess
import sys
import tarfile
import tempfile

import websockets
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"
CHUNK = 65_536
WINDOW = 4 * CHUNK
INLINE = 16_384
REPEAT_S = 15


def generate(into):
    files = sorted(str(path.relative_to(PROTO)) for path in PROTO.glob("cah/v1/*.proto"))
    subprocess.run(["protoc", f"-I{PROTO}", f"--python_out={into}", *files], check=True)
    sys.path.insert(0, into)


with tempfile.TemporaryDirectory() as stubs:
    generate(stubs)
    from cah.v1 import job_pb2 as job
    from cah.v1 import link_pb2 as link


class Identity:
    def __init__(self, state):
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = state / "agent.key"
        if not file.exists():
            with open(os.open(file, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "wb") as out:
                out.write(secrets.token_bytes(32))
        self.key = Ed25519PrivateKey.from_private_bytes(file.read_bytes())
        self.public = self.key.public_key().public_bytes(
            serialization.Encoding.Raw, serialization.PublicFormat.Raw
        )
        self.node = "n" + hashlib.sha256(self.public).hexdigest()[:16]
        # Nothing survives a restart of this agent, so each start is a boot.
        self.boot = secrets.token_hex(16)

    def sign(self, challenge):
        parts = [b"cah-agent-v1", challenge.hub_id.encode(), challenge.nonce, self.node.encode(), self.boot.encode()]
        return self.key.sign(b"".join(struct.pack(">I", len(part)) + part for part in parts))


class Agent:
    """One link. Ends with the link; whatever it held then is lost."""

    def __init__(self, socket, identity):
        self.socket = socket
        self.identity = identity
        self.streams = {}
        self.last_stream = 0
        self.answers = {}
        self.running = None
        self.tasks = set()

    async def say(self, **body):
        await self.socket.send(link.AgentFrame(**body).SerializeToString())

    async def hear(self):
        frame = link.HubFrame.FromString(await self.socket.recv())
        kind = frame.WhichOneof("body")
        return kind, getattr(frame, kind)

    def spawn(self, coroutine):
        task = asyncio.ensure_future(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def serve(self):
        kind, challenge = await self.hear()
        if kind != "challenge":
            raise SystemExit(f"the hub began with {kind}")
        node = link.NodeOffer(name="python", slots=1, memory_bytes=2**30, disk_bytes=2**30)
        node.properties.add(name="agent", value="python")
        await self.say(
            hello=link.Hello(
                protocol_min=1,
                protocol_max=1,
                agent_version="example",
                public_key=self.identity.public,
                signature=self.identity.sign(challenge),
                enrol_token=os.environ.get("CAH_ENROLL", ""),
                boot_id=self.identity.boot,
                node=node,
            )
        )
        while True:
            kind, frame = await self.hear()
            if kind == "welcome":
                print(f"welcome, {frame.node_id}", flush=True)
                self.spawn(self.beat(frame.heartbeat.seconds))
            elif kind == "goodbye":
                raise SystemExit(f"the hub said goodbye: {frame.reason}")
            elif kind == "offer":
                await self.on_offer(frame)
            elif kind == "kill":
                await self.on_kill(frame)
            elif kind == "report_answer":
                self.answered(frame)
            elif kind in ("stream_opened", "chunk", "credit", "stream_end", "stream_stored"):
                queue = self.streams.get(frame.stream)
                if queue is not None:
                    queue.put_nowait((kind, frame))
            # heartbeat_answer needs nothing; follow_log is left unanswered: this agent shows no live output.

    async def beat(self, seconds):
        sequence = 0
        while True:
            await asyncio.sleep(seconds)
            sequence += 1
            await self.say(heartbeat=link.Heartbeat(sequence=sequence))

    # ---- attempts ----

    async def on_offer(self, offer):
        name = offer.attempt
        if self.running is not None and self.running.attempt == name:
            return  # Its report is being repeated anyway.
        if self.running is not None:
            refused = job.Result(outcome=job.OUTCOME_REFUSED, message="this agent runs one job at a time")
            await self.say(report=link.Report(attempt=name, phase=job.PHASE_ENDED, result=refused))
            return
        self.running = offer
        self.work = self.spawn(self.attempt(offer))

    async def on_kill(self, kill):
        if self.running is not None and self.running.attempt == kill.attempt:
            self.work.cancel()
            self.running = None
        lost = job.Result(outcome=job.OUTCOME_LOST, message=f"stopped: {kill.reason}")
        await self.say(report=link.Report(attempt=kill.attempt, phase=job.PHASE_ENDED, result=lost))

    async def report(self, phase, result=None):
        """Repeated until it is answered."""
        answer = self.answers[phase] = asyncio.get_running_loop().create_future()
        while True:
            await self.say(report=link.Report(attempt=self.running.attempt, phase=phase, result=result))
            try:
                return await asyncio.wait_for(asyncio.shield(answer), REPEAT_S)
            except asyncio.TimeoutError:
                continue

    def answered(self, frame):
        if self.running is None or frame.attempt != self.running.attempt:
            return
        future = self.answers.get(frame.phase)
        if future is not None and not future.done():
            future.set_result(frame.answer)

    async def attempt(self, offer):
        spec = job.CampaignSpec.FromString(offer.spec)
        await self.report(job.PHASE_STAGING)
        with tempfile.TemporaryDirectory() as work:
            if spec.HasField("stagein"):
                with tarfile.open(fileobj=io.BytesIO(await self.stagein(spec.stagein))) as archive:
                    archive.extractall(work)
            before = {path for path in pathlib.Path(work).rglob("*")}
            await self.report(job.PHASE_RUNNING)
            process = await asyncio.create_subprocess_exec(
                *self.command(spec, offer),
                cwd=work,
                env=self.environment(spec, offer, work),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            try:
                stdout, stderr = await process.communicate()
            finally:
                if process.returncode is None:
                    process.kill()
            await self.report(job.PHASE_RETURNING)
            code = process.returncode if process.returncode >= 0 else 128 - process.returncode
            result = job.Result(
                outcome=job.OUTCOME_FINISHED if code == 0 else job.OUTCOME_FAILED,
                exit_code=code,
                stdout=job.Log(inline=stdout[:INLINE], dropped_bytes=max(0, len(stdout) - INLINE)),
                stderr=job.Log(inline=stderr[:INLINE], dropped_bytes=max(0, len(stderr) - INLINE)),
            )
            changed = [path for path in sorted(pathlib.Path(work).rglob("*")) if path.is_file() and path not in before]
            if changed:
                result.stageout.CopyFrom(await self.stageout(work, changed))
        answer = await self.report(job.PHASE_ENDED, result)
        print(f"{offer.attempt.campaign}.{offer.attempt.index}: {link.Answer.Name(answer)}", flush=True)
        self.running = None

    def command(self, spec, offer):
        line = offer.parameters.line
        if len(spec.command) == 1:
            return ["sh", "-c", f"{spec.command[0]} {line}" if line else spec.command[0]]
        return [*spec.command, *line.split()]

    def environment(self, spec, offer, work):
        own = {"PATH": os.environ["PATH"], "HOME": work, **spec.env}
        return {
            **own,
            "CAH_JOB_ID": f"{offer.attempt.campaign}.{offer.attempt.index}",
            "CAH_ARRAY_INDEX": str(offer.attempt.index),
            "CAH_ARRAY_SIZE": str(offer.array_size),
        }

    # ---- streams ----

    async def open(self, kind, blob):
        self.last_stream += 1
        self.streams[self.last_stream] = asyncio.Queue()
        opened = link.StreamOpen(stream=self.last_stream, kind=kind, attempt=self.running.attempt, blob=blob)
        await self.say(stream_open=opened)
        return self.last_stream, self.streams[self.last_stream]

    async def stagein(self, blob):
        stream, heard = await self.open(link.STREAM_KIND_STAGEIN, blob)
        credit = min(WINDOW, blob.size_bytes)
        await self.say(stream_opened=link.StreamOpened(stream=stream, offset=0, credit_offset=credit))
        content = bytearray()
        while True:
            kind, frame = await heard.get()
            if kind == "chunk":
                content += frame.data
                wanted = min(len(content) + WINDOW, blob.size_bytes)
                if wanted - credit >= WINDOW // 2 or (wanted == blob.size_bytes and wanted > credit):
                    credit = wanted
                    await self.say(credit=link.Credit(stream=stream, credit_offset=credit))
            elif kind == "stream_end":
                if f"sha256:{hashlib.sha256(content).hexdigest()}" != blob.digest:
                    raise RuntimeError(f"the stagein did not come: {frame.message or 'another digest'}")
                return bytes(content)

    async def stageout(self, work, paths):
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for path in paths:
                tar.add(path, arcname=str(path.relative_to(work)))
        content = archive.getvalue()
        blob = job.Blob(digest=f"sha256:{hashlib.sha256(content).hexdigest()}", size_bytes=len(content))
        stream, heard = await self.open(link.STREAM_KIND_STAGEOUT, blob)
        sent = credit = None
        while True:
            kind, frame = await heard.get()
            if kind == "stream_stored":
                return blob
            if kind == "stream_end":
                raise RuntimeError(f"the hub did not take the stageout: {frame.message}")
            if kind == "stream_opened":
                sent, credit = frame.offset, frame.credit_offset
            elif kind == "credit":
                credit = max(credit, frame.credit_offset)
            while sent < credit:
                data = content[sent : min(sent + CHUNK, credit)]
                await self.say(chunk=link.Chunk(stream=stream, offset=sent, data=data))
                sent += len(data)
            if sent == len(content):
                await self.say(stream_end=link.StreamEnd(stream=stream))
                sent = credit = len(content) + 1  # Said once.


async def main(hub, state):
    identity = Identity(pathlib.Path(state))
    url = hub.replace("http", "ws", 1).rstrip("/") + "/agent"
    async with websockets.connect(url, subprotocols=["cah.v1"], compression=None, max_size=262_144) as socket:
        await Agent(socket, identity).serve()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: CAH_ENROLL=TOKEN agent.py HUB_URL STATE_DIRECTORY")
    try:
        asyncio.run(main(sys.argv[1], sys.argv[2]))
    except (KeyboardInterrupt, websockets.ConnectionClosedOK):
        pass
