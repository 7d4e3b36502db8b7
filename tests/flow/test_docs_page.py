"""The pages that need no key."""

from tests.api_client import Api


async def test_the_docs_are_a_page(api: Api) -> None:
    """A browser that opens the address finds something to read."""
    page = await api.get("/docs")
    assert page.status_code == 200
    assert "/api/v1/whatsapp/send" in page.text
