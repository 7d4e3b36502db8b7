"""The pages that need no key."""

from tests.api_client import Api


async def test_the_root_leads_to_the_docs(api: Api) -> None:
    """A browser that opens the address finds something to read."""
    answer = await api.get("/")
    assert (answer.status_code, answer.headers["location"]) == (302, "/docs")
    page = await api.get("/docs")
    assert page.status_code == 200
    assert "/api/v1/whatsapp/send" in page.text
