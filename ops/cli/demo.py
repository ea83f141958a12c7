"""mediq demo: the main job through Envoy's REST, as a web client would do it."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from httpx_sse import aconnect_sse

from ops.layout import MeshLayout, StartError
from ops.supervisor import Supervisor

Json = dict[str, Any]
LOW_CONFIDENCE = 0.7
CALL_SECONDS = 15.0
SPECIMEN = "specimen.jpg"
"""A drawn card of an invented person, photographed on a table: `mediq sample-card --seed 11`."""


def demo(
    card: Annotated[
        Path | None, typer.Option(help="A photo of a KTP; a specimen's when absent.")
    ] = None,
) -> None:
    """Start the mesh, turn a card photo into a called ticket, print each step, stop the mesh.

    Runs in a data folder of its own that is gone afterwards.
    """
    if card is not None and not card.is_file():
        raise SystemExit(f"mediq: {card} is not a file")
    with tempfile.TemporaryDirectory(prefix="mediq-demo-") as folder:
        try:
            asyncio.run(_Demo(MeshLayout.from_environment(Path(folder)), card).run())
        except (StartError, DemoError) as error:
            raise SystemExit(f"mediq: {error}") from error


class DemoError(Exception):
    """Raised when a step of the demo is refused; the text holds the answer."""


@dataclass
class _Demo:
    layout: MeshLayout
    card: Path | None
    log: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    async def run(self) -> None:
        supervisor = Supervisor(self.layout, lambda name, line: self.log.append(f"{name}: {line}"))
        try:
            await supervisor.start()
            self._print_step("six services and Envoy are ready")
            async with httpx.AsyncClient(base_url=self.layout.url, timeout=35) as client:
                ticket = await self._register_and_call(client, self._read_photo())
        except (StartError, DemoError):
            typer.echo("\n".join(self.log[-40:]), err=True)
            raise
        finally:
            await supervisor.stop()
        self._print_step("everything is stopped")
        typer.echo(json.dumps(ticket, ensure_ascii=False))

    def _print_step(self, text: str) -> None:
        typer.echo(f"[{time.monotonic() - self.started:6.2f} s] {text}")

    def _run_mediq(self, *arguments: str) -> str:
        environment = {**os.environ, **self.layout.environment()}
        program = str(Path(sys.executable).parent / "mediq")
        done = subprocess.run(  # noqa: S603 - our own command
            [program, *arguments], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise DemoError(f"mediq {arguments[0]} failed: {done.stderr or done.stdout}")
        return done.stdout

    def _read_photo(self) -> bytes:
        if self.card is not None:
            return self.card.read_bytes()
        return resources.files("ops").joinpath("data", SPECIMEN).read_bytes()

    async def _register_and_call(self, client: httpx.AsyncClient, photo: bytes) -> Json:
        upload_task = asyncio.create_task(
            self._request(client, "POST", "/ocr/upload", files={"file": ("ktp.jpg", photo)})
        )
        facility, service, counter, operator_token = await self._create_facility(client)
        self._print_step(
            f"facility {facility['name']}: {service['name']}, {counter['name']}, an operator"
        )
        upload = await upload_task
        draft = upload["draft"]
        draft_token = f"Bearer {upload['session']['accessToken']}"
        fields = {name: value for name, value in draft["ktp"].items() if value and value["value"]}
        doubtful = [name for name, value in fields.items() if value["confidence"] < LOW_CONFIDENCE]
        self._print_step(
            f"the photo became a draft: {len(fields)} fields, {len(doubtful)} doubtful"
        )
        for name, value in fields.items():
            shown = value["value"] if name != "nik" else _masked(value["value"])
            typer.echo(f"             {name:<18} {shown:<32} {value['confidence']:.2f}")
        consent = await self._request(client, "GET", "/consent")
        self._print_step(
            f"agreed to the text of {consent['version']} ({len(consent['terms'])} purposes)"
        )
        registration = await self._confirm(client, draft, facility, service, consent, draft_token)
        ticket = registration["ticket"]
        wait = int(float(ticket["estimatedWait"].removesuffix("s")) / 60)
        self._print_step(
            f"confirmed: ticket {ticket['number']}, {ticket['peopleAhead']} ahead, "
            f"about {wait} minutes"
        )
        ticket_token = f"Bearer {registration['session']['accessToken']}"
        called = await self._follow_and_call(client, ticket, ticket_token, counter, operator_token)
        return {
            "number": called["number"],
            "status": called["status"],
            "institution": called["institutionName"],
            "service": called["serviceName"],
            "counter": called["counterName"],
            "ticketId": called["id"],
            "peopleAhead": ticket["peopleAhead"],
            "estimatedWaitSeconds": float(ticket["estimatedWait"].removesuffix("s")),
        }

    async def _create_facility(self, client: httpx.AsyncClient) -> tuple[Json, Json, Json, str]:
        """Makes a facility, a service, a counter and an operator; returns the operator's token."""
        text = await asyncio.to_thread(
            self._run_mediq, "admin", "create", "--email", "demo@mediq.example", "--json"
        )
        admin_token = await self._sign_in(client, json.loads(text))
        facility = await self._request(
            client,
            "POST",
            "/institutions",
            token=admin_token,
            json={"name": "Puskesmas Contoh", "city": "Bandung", "timeZone": "Asia/Jakarta"},
        )
        path = f"/institutions/{facility['id']}"
        service, counter = await asyncio.gather(
            self._request(
                client,
                "POST",
                f"{path}/services",
                token=admin_token,
                json={"name": "Poli Umum", "prefix": "A", "serviceMinutes": 10},
            ),
            self._request(
                client, "POST", f"{path}/counters", token=admin_token, json={"name": "Loket 1"}
            ),
        )
        account = {"email": "loket@mediq.example", "password": uuid.uuid4().hex}
        await self._request(
            client,
            "POST",
            "/users",
            token=admin_token,
            json={
                **account,
                "nama": "Operator Contoh",
                "role": "ROLE_OPERATOR",
                "institutionId": facility["id"],
            },
        )
        return facility, service, counter, await self._sign_in(client, account)

    async def _sign_in(self, client: httpx.AsyncClient, account: Json) -> str:
        body = {"email": account["email"], "password": account["password"]}
        pair = await self._request(client, "POST", "/auth/login/admin", json=body)
        return f"Bearer {pair['accessToken']}"

    async def _confirm(
        self,
        client: httpx.AsyncClient,
        draft: Json,
        facility: Json,
        service: Json,
        consent: Json,
        token: str,
    ) -> Json:
        body = {
            "requestId": str(uuid.uuid4()),
            "draftId": draft["id"],
            "institutionId": facility["id"],
            "serviceId": service["id"],
            "consent": True,
            "consentVersion": consent["version"],
            "purposes": [term["purpose"] for term in consent["terms"]],
        }
        registration = await self._request(client, "POST", "/ocr/confirm", token=token, json=body)
        async with asyncio.timeout(CALL_SECONDS):
            while registration["state"] != "REGISTRATION_STATE_COMPLETED":
                await asyncio.sleep(0.2)
                path = f"/ocr/{draft['id']}/registration"
                registration = await self._request(client, "GET", path, token=token)
        return registration

    async def _follow_and_call(
        self,
        client: httpx.AsyncClient,
        ticket: Json,
        ticket_token: str,
        counter: Json,
        operator_token: str,
    ) -> Json:
        path = f"/queue/{ticket['id']}/live"
        headers = {"authorization": ticket_token}
        async with (
            asyncio.timeout(CALL_SECONDS),
            aconnect_sse(client, "GET", path, headers=headers) as stream,
        ):
            body = {
                "institutionId": ticket["institutionId"],
                "serviceId": ticket["serviceId"],
                "counterId": counter["id"],
            }
            call: asyncio.Task[Json] | None = None
            async for event in stream.aiter_sse():
                live: Json | None = event.json().get("ticket")
                if live is None:
                    continue
                if call is None:
                    self._print_step(f"the patient's phone follows live: {live['status']}")
                    call = asyncio.create_task(
                        self._request(
                            client, "POST", "/queue/next", token=operator_token, json=body
                        )
                    )
                if live["status"] == "TICKET_STATUS_CALLED":
                    called = await call
                    self._print_step(
                        f"the operator at {called['counterName']} called {called['number']}"
                    )
                    self._print_step(
                        f"the live stream says so: {live['number']} to {live['counterName']}"
                    )
                    return live
        raise DemoError("the live stream ended before the call")

    async def _request(
        self,
        client: httpx.AsyncClient,
        verb: str,
        path: str,
        *,
        token: str = "",
        json: Json | None = None,
        files: Any = None,
    ) -> Json:
        headers = {"authorization": token} if token else {}
        reply = await client.request(verb, path, json=json, files=files, headers=headers)
        if reply.is_error:
            raise DemoError(f"{verb} {path} answered {reply.status_code}: {reply.text}")
        answer: Json = reply.json()
        return answer


def _masked(nik: str) -> str:
    return f"{nik[:4]}{'*' * (len(nik) - 8)}{nik[-4:]}"
