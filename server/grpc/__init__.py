"""The Open Inference Protocol over gRPC: each call becomes one request of its REST form to this application, in this process."""
