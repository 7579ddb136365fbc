"""Costs of trials and studies: FLOPs, time, memory and bytes, measured, forecast and limited."""
