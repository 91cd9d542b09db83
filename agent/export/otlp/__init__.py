"""OpenTelemetry: requests as traces and as metrics, sent over HTTP to whatever takes OTLP."""
