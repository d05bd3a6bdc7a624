"""The Python client of a running proxy: `Client`, its answers and its one error. Built on httpx alone."""

from kvproxy.client.document_answer import DocumentAnswer
from kvproxy.client.document_path import document_path
from kvproxy.client.proxy_client import DEFAULT_URL, Client
from kvproxy.client.request_failed import RequestFailed, error_message, refusal, unreachable
from kvproxy.client.topups import Payer, PaymentAsked, payment_asked

__all__ = [
    "DEFAULT_URL",
    "Client",
    "DocumentAnswer",
    "Payer",
    "PaymentAsked",
    "RequestFailed",
    "document_path",
    "error_message",
    "payment_asked",
    "refusal",
    "unreachable",
]
