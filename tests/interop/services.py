"""Asks all services what they are, and checks the answers against NATS's published schemas."""

import asyncio
import datetime
import json
import os
import re

import nats
from nats.micro import service

NAME = re.compile(r"[A-Za-z0-9_-]+")
NUMBER = r"(0|[1-9]\d*)"
VERSION = re.compile(rf"{NUMBER}\.{NUMBER}\.{NUMBER}(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")


def check_identity(answer, kind):
    assert answer["type"] == f"io.nats.micro.v1.{kind}_response", answer
    assert NAME.fullmatch(answer["name"]) and answer["id"], answer
    assert VERSION.fullmatch(answer["version"]), answer
    assert all(isinstance(value, str) for value in answer["metadata"].values()), answer


def check_endpoint(endpoint):
    assert NAME.fullmatch(endpoint["name"]) and endpoint["subject"], endpoint
    assert isinstance(endpoint["queue_group"], str), endpoint


def check_counts(endpoint):
    for count in ["num_requests", "num_errors", "processing_time", "average_processing_time"]:
        value = endpoint[count]
        assert isinstance(value, int) and 0 <= value < 2**63, endpoint
    assert isinstance(endpoint["last_error"], str), endpoint


async def ask(client, verb):
    inbox = client.new_inbox()
    answers = await client.subscribe(inbox)
    await client.publish(f"$SRV.{verb}", reply=inbox)
    answer = await answers.next_msg(timeout=5)
    return json.loads(answer.data)


async def main():
    client = await nats.connect(os.environ["CALLBOARD_NATS"])
    ping, info, stats = [
        await ask(client, verb) for verb in ["PING", "INFO.porter", "STATS.porter"]
    ]
    check_identity(ping, "ping")
    check_identity(info, "info")
    check_identity(stats, "stats")
    assert isinstance(info["description"], str), info
    assert info["metadata"]["callboard.reads.visits.visited"] == "1", info
    for endpoint in info["endpoints"]:
        check_endpoint(endpoint)
        said = endpoint["metadata"]
        assert all(isinstance(value, str) for value in said.values()), endpoint
        assert said["callboard.command"] == "porter.greet", endpoint
    datetime.datetime.fromisoformat(stats["started"][:19] + "+00:00")
    for endpoint in stats["endpoints"]:
        check_endpoint(endpoint)
        check_counts(endpoint)
    # The client's own reader of such answers understands them.
    service.ServicePing.from_dict(ping)
    service.ServiceInfo.from_dict(info)
    read = service.ServiceStats.from_dict(stats)
    for endpoint in read.endpoints:
        print(endpoint.name, endpoint.subject, endpoint.num_requests, endpoint.num_errors)
    await client.close()


asyncio.run(main())
