"""Drives the ORAS Python SDK the way programs built on it do. Registries are on loopback and speak plain HTTP.

client.py push HOST/REPO:TAG FILE:MEDIATYPE...    prints the digest of the manifest
client.py tags HOST/REPO                          prints the tags, one a line
client.py pull HOST/REPO:REFERENCE DIRECTORY      prints the digest of the manifest as it came
"""

import hashlib
import os
import sys

import oras.client


def push(client, target, *files):
    response = client.push(target=target, files=list(files), disable_path_validation=True)
    print(response.headers["Docker-Content-Digest"])


def tags(client, target):
    print("\n".join(client.get_tags(target)))


def pull(client, target, directory):
    container = client.get_container(target)
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    response = client.do_request(f"{client.prefix}://{container.manifest_url()}", "GET", headers=accept)
    response.raise_for_status()
    client.pull(target=target, outdir=directory)
    config = response.json()["config"]["digest"]
    client.download_blob(container, config, os.path.join(directory, "config"))
    print("sha256:" + hashlib.sha256(response.content).hexdigest())


commands = {"push": push, "tags": tags, "pull": pull}
commands[sys.argv[1]](oras.client.OrasClient(insecure=True), *sys.argv[2:])
