"""The description for programs says what the server does."""

import json

from tests.stream.rig import rig


async def test_status_is_as_described_and_every_described_path_answers() -> None:
    async with rig() as r:
        async with r.http.get(r.url + "/api/v1/openapi.json") as answer:
            assert answer.status == 200
            described = json.loads(await answer.text())
        async with r.http.get(r.url + "/api/v1/status") as answer:
            status = await answer.json()
        schema = described["components"]["schemas"]["Status"]
        assert set(status) == set(schema["required"]) == set(schema["properties"])
        assert status["verdict"] in schema["properties"]["verdict"]["enum"]
        for path, methods in described["paths"].items():
            unwanted = {405} if "{" in path else {404, 405}  # there is no session to be found
            url = r.url + path.replace("{session}", "none")
            for method in methods.keys() - {"parameters"}:
                async with r.http.request(method, url) as answer:
                    assert answer.status not in unwanted, (method, path)
