"""The gRPC API: edge of the controller. Protobuf goes no further than this package."""
