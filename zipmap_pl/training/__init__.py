"""LightningModule, stages, optimiser groups, schedule, callbacks, fit."""
