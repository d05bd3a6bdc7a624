"""The HTTP API's description: the operations, their OpenAPI document and its pages."""
