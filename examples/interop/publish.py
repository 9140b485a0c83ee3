"""Publishes an event with plain NATS; whichever group hears its type reacts.

    python3 publish.py orders.placed o-1 '{"order": "o-1", "total": 2500}'

An event is a message on `{namespace}.evt.{domain}.{key}`: MessagePack with field
names, the event's attributes in CloudEvents headers. The domain's stream stores it,
and acknowledges that. A second message of the same id is not stored again.
"""

import argparse
import asyncio
import json
import os
import string
import sys
import uuid

import msgpack
import nats
from nats.js.errors import NoStreamResponseError

PLAIN = (string.ascii_letters + string.digits + "_-").encode()


def token(key: str) -> str:
    """Returns a key as one subject token: all but `A-Z a-z 0-9 _ -` becomes `=XX`."""
    return "".join(chr(b) if b in PLAIN else f"={b:02X}" for b in key.encode())


def subject(namespace: str, kind: str, key: str) -> str:
    """Returns where events of one entity go, such as `shop.evt.orders.o-1`."""
    domain, _, _ = kind.partition(".")
    return f"{namespace}.evt.{domain}.{token(key)}"


def headers(kind: str, source: str, event_id: str) -> dict[str, str]:
    """Returns the CloudEvents attributes that nobody can derive."""
    return {
        "ce-specversion": "1.0",
        "ce-id": event_id,
        "ce-type": kind,
        "ce-source": source,
        "content-type": "application/msgpack",
        "Nats-Msg-Id": event_id,
    }


async def publish(args: argparse.Namespace) -> None:
    # Not forever: without this, the client tries to connect until it is stopped.
    client = await nats.connect(args.nats, connect_timeout=5, max_reconnect_attempts=2)
    try:
        stored = await client.jetstream().publish(
            subject(args.namespace, args.type, args.key),
            msgpack.packb(json.loads(args.json)),
            headers=headers(args.type, "/python", args.id),
            timeout=5,
        )
    except NoStreamResponseError:
        sys.exit("no stream takes it; a node that answers or hears the domain opens its stream")
    finally:
        await client.close()
    again = ", which it was before" if stored.duplicate else ""
    print(f"stored as number {stored.seq} of {stored.stream}{again}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Publishes an event with plain NATS.")
    parser.add_argument("type", help="the event's type, such as orders.placed")
    parser.add_argument("key", help="the entity it happened to, such as o-1")
    parser.add_argument("json", help="the event, as JSON")
    parser.add_argument("--id", default=str(uuid.uuid4()), help="default: a new one")
    parser.add_argument("--nats", default=os.environ.get("CALLBOARD_NATS", "nats://localhost:4222"))
    parser.add_argument("--namespace", default=os.environ.get("CALLBOARD_NAMESPACE", "callboard"))
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(publish(arguments()))
