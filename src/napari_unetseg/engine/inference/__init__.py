"""Inference: plan, prediction, aggregation, cost and CRF."""
