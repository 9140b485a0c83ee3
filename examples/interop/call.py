"""Calls a command with a plain NATS request, and prints the reply as JSON.

    python3 call.py payments.charge '{"order": "o-1", "amount": 2500}'

A command is a request on `{namespace}.cmd.{domain}.{command}`, its payload and its
reply MessagePack with field names. A reply that is no answer has two headers:
`Nats-Service-Error-Code` and, in words, `Nats-Service-Error`. With the code 422 the
domain says no, and the payload tells why.
"""

import argparse
import asyncio
import json
import os
import sys
import time

import msgpack
import nats
from nats.aio.msg import Msg
from nats.errors import NoRespondersError, TimeoutError as NoReply

REJECTED = "422"


def answer(reply: Msg) -> object:
    """Returns the decoded reply, or ends the program with what stood in its way."""
    sent = reply.headers or {}
    code = sent.get("Nats-Service-Error-Code")
    if code is None:
        return msgpack.unpackb(reply.data)
    reason = f"{code}: {sent.get('Nats-Service-Error', '')}"
    if code == REJECTED:
        reason += f" {json.dumps(msgpack.unpackb(reply.data))}"
    sys.exit(reason)


async def call(args: argparse.Namespace) -> None:
    # Not forever: without this, the client tries to connect until it is stopped.
    client = await nats.connect(args.nats, connect_timeout=5, max_reconnect_attempts=2)
    # Optional: once nobody waits any more, the command is not run.
    deadline = int((time.time() + args.timeout) * 1000)
    try:
        reply = await client.request(
            f"{args.namespace}.cmd.{args.command}",
            msgpack.packb(json.loads(args.json)),
            headers={"cb-deadline": str(deadline), "cb-caller": "python"},
            timeout=args.timeout,
        )
    except NoRespondersError:
        sys.exit(f"nobody answers {args.command}; is a node with its group running?")
    except NoReply:
        sys.exit(f"no reply from {args.command} within {args.timeout} s")
    finally:
        await client.close()
    print(json.dumps(answer(reply)))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Calls a command with a plain NATS request.")
    parser.add_argument("command", help="its name, such as payments.charge")
    parser.add_argument("json", help="the command, as JSON")
    parser.add_argument("--timeout", type=float, default=5, help="seconds to wait; default 5")
    parser.add_argument("--nats", default=os.environ.get("CALLBOARD_NATS", "nats://localhost:4222"))
    parser.add_argument("--namespace", default=os.environ.get("CALLBOARD_NAMESPACE", "callboard"))
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(call(arguments()))
