#!/usr/bin/env python3
"""A campaign from Python, over gRPC: send an input, submit an array, watch it, collect what the jobs printed and wrote.

    apt-get install python3-grpcio python3-protobuf protobuf-compiler protobuf-compiler-grpc
    CAH_HUB=http://127.0.0.1:8080 CAH_TOKEN=... python3 examples/python/campaign.py

The stubs are generated from proto/ each time, into a temporary directory. In a project of yours, generate them once; with
pip's grpcio-tools `python3 -m grpc_tools.protoc` takes the same arguments and needs no plugin.
"""

import hashlib
import io
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import urllib.parse
import uuid

import grpc

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"
JOBS = 8
SCRIPT = b"""#!/bin/sh
# Throws darts at a square; each job has a seed of its own. What is printed is the job's stdout, what is written comes back.
awk -v seed="$CAH_ARRAY_INDEX" 'BEGIN {
  srand(seed)
  for (throw = 0; throw < 100000; throw++) if (rand() ^ 2 + rand() ^ 2 < 1) hits++
  print seed, hits > "darts.txt"
  print 4 * hits / throw
}'
"""


def generate(into):
    files = sorted(str(path.relative_to(PROTO)) for path in PROTO.glob("cah/v1/*.proto"))
    plugin = "--plugin=protoc-gen-grpc_python=/usr/bin/grpc_python_plugin"
    subprocess.run(
        ["protoc", f"-I{PROTO}", plugin, f"--python_out={into}", f"--grpc_python_out={into}", *files], check=True
    )
    sys.path.insert(0, into)


def connect(url):
    where = urllib.parse.urlsplit(url)
    if where.scheme == "https":
        return grpc.secure_channel(f"{where.hostname}:{where.port or 443}", grpc.ssl_channel_credentials())
    return grpc.insecure_channel(f"{where.hostname}:{where.port or 80}")


def packed(files):
    """A tar archive of {name: bytes}. The same files give the same bytes, so the hub keeps and sends them once."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


def main():
    hub, token = os.environ["CAH_HUB"], os.environ["CAH_TOKEN"]
    with tempfile.TemporaryDirectory() as stubs:
        generate(stubs)
        from cah.v1 import job_pb2 as job
        from cah.v1 import scientist_pb2 as ask
        from cah.v1 import scientist_pb2_grpc

    signed = [("authorization", f"Bearer {token}")]
    with connect(hub) as channel:
        service = scientist_pb2_grpc.ScientistServiceStub(channel)
        me = service.WhoAmI(ask.WhoAmIRequest(), metadata=signed, timeout=30)
        print(f"I am {me.principal} at {hub}")

        # The input. What the hub has already is not sent again, and what was cut off goes on where it stopped.
        archive = packed({"darts.sh": SCRIPT})
        blob = job.Blob(digest="sha256:" + hashlib.sha256(archive).hexdigest(), size_bytes=len(archive))
        known = service.GetUpload(ask.GetUploadRequest(blob=blob), metadata=signed, timeout=30)
        if not known.stored:

            def messages(piece=256 * 1024):
                yield ask.UploadRequest(blob=blob, offset=known.offset, data=archive[known.offset :][:piece])
                for offset in range(known.offset + piece, len(archive), piece):
                    yield ask.UploadRequest(data=archive[offset : offset + piece])

            service.Upload(messages(), metadata=signed)

        # The key is made before the first try: should the answer get lost, asking again never submits twice.
        spec = job.CampaignSpec(
            name="darts", command=["./darts.sh"], stagein=blob, stageout=["darts.txt"], array=JOBS
        )
        spec.walltime.FromSeconds(600)
        request = ask.SubmitRequest(idempotency_key=str(uuid.uuid4()), spec=spec)
        campaign = service.Submit(request, metadata=signed, timeout=30).campaign
        print(f"campaign {campaign}: {JOBS} jobs")

        # The campaign as it is, then as it changes, until it has ended.
        for news in service.WatchCampaign(ask.WatchCampaignRequest(campaign=campaign), metadata=signed):
            counts = news.campaign.counts
        print(f"finished {counts.finished} of {counts.total}")
        if counts.finished < counts.total:
            for error in service.GetCampaign(ask.GetCampaignRequest(campaign=campaign), metadata=signed).errors:
                print(f"{error.count} x {job.Outcome.Name(error.outcome)} {error.exit_code} {error.message}")
            return 1

        # Short outputs come with the list of jobs; files come as a tar archive in pieces.
        page = service.ListJobs(ask.ListJobsRequest(campaign=campaign, limit=1000), metadata=signed, timeout=30)
        values = [float(one.result.stdout.inline) for one in page.jobs]
        print(f"pi is about {sum(values) / len(values):.4f}")
        wanted = ask.DownloadRequest(job=page.jobs[0].id, output=ask.OUTPUT_STAGEOUT)
        result = b"".join(piece.data for piece in service.Download(wanted, metadata=signed))
        with tarfile.open(fileobj=io.BytesIO(result)) as tar:
            print("job 0 wrote", tar.getnames(), tar.extractfile("darts.txt").read().decode().strip())
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except grpc.RpcError as error:
        sys.exit(f"the hub said {error.code().name}: {error.details()}")
