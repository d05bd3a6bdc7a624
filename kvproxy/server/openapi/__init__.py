"""The HTTP surface described: operations, their OpenAPI document and its pages."""
