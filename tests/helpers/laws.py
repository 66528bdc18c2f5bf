"""Laws of temperature and novelty, made up for tests."""

from models.manifest import NoveltyLaw, SeveralLaw, SingleLaw, SupportLaw

SUPPORT_LAW = SupportLaw(
    single=SingleLaw(intercept=-1.0, log_ways=-0.5, inverse_ways=0.4, between=0.5, nearest=0.7, nearest_log_ways=-0.1),
    several=SeveralLaw(
        intercept=-1.0,
        log_ways=-0.5,
        inverse_ways=0.4,
        log_shots=-0.25,
        inverse_shots=0.3,
        unequal=0.2,
        log_likeliest=0.3,
        recognised=0.8,
        apart=-0.9,
    ),
)
NOVELTY_LAW = NoveltyLaw(
    centring=0.2,
    directions=8,
    shrinkage=2.0,
    kappa=12.0,
    nearest=0.3,
    others=0.2,
    spread=1.1,
    floor=0.05,
    gain=0.04,
    deviations=1.5,
    prior=3.0,
)
SMOOTH_NOVELTY_LAW = NoveltyLaw(
    centring=0.15,
    directions=16,
    shrinkage=40.0,
    kappa=40.0,
    nearest=0.2,
    others=0.2,
    spread=1.0,
    floor=0.03,
    gain=0.01,
    deviations=1.63,
    prior=1.0,
)
