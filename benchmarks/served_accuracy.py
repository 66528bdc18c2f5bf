"""Does the server predict what the offline evaluation predicts? The same episodes through HTTP, query by query.

headstart-server --port 8000 --bundle cifar-fs-resnet12@1 &
python -m benchmarks.served_accuracy --data part0.zip part1.zip part2.zip --split cifar-fs
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import httpx

from models.bundle import SHIPPED, find_bundles, open_bundle
from models.engine import embed_all, open_engine
from models.heads.head import features
from training.data.class_split import read_split
from training.data.dataset import ImageSet
from training.data.loading import load_images, read_originals
from training.evaluation.episodes import Episode, EpisodeSampler
from training.evaluation.evaluate import episode_scores

_PER_REQUEST = 250


def main() -> None:
    arguments = _parser().parse_args()
    with httpx.Client(base_url=arguments.url, timeout=120) as api:
        backbone = next(b["id"] for b in api.get("/v1/backbones").raise_for_status().json()["backbones"] if b["default"])
        bundle = open_bundle((find_bundles(SHIPPED) | find_bundles(arguments.bundles_dir))[backbone])
        novel = load_images(arguments.data, read_split(arguments.split).test, bundle.manifest.input)
        engine = open_engine(bundle)
        embeddings = embed_all(engine, novel.images)
        originals = read_originals(arguments.data, novel.sources)
        options = bundle.manifest.head.options()
        space = features(embeddings, bundle.feature_mean if options.centre else None)

        print(f"{bundle.id} on {engine.kind}, {arguments.episodes} episodes of {arguments.ways} ways, seed {arguments.seed}")
        print(f"{'shots':>6}{'queries':>9}{'offline %':>11}{'served %':>10}{'different predictions':>24}")
        for shots in arguments.shots:
            sampler = EpisodeSampler(novel.indices_by_class(), arguments.ways, shots, 15, arguments.seed)
            offline_right = served_right = different = count = 0
            stacks = episode_scores(space, sampler, arguments.episodes, options)
            offline = (row for scores, _ in stacks for row in scores.argmax(axis=-1))
            for index, predicted in zip(range(arguments.episodes), offline, strict=True):
                episode = sampler.episode(index)
                names = [novel.classes[k] for k in episode.classes]
                truth = [name for name in names for _ in range(sampler.queries)]
                here = [names[k] for k in predicted]
                there = _serve(api, episode, novel, originals)
                offline_right += sum(map(str.__eq__, here, truth))
                served_right += sum(map(str.__eq__, there, truth))
                different += sum(map(str.__ne__, here, there))
                count += len(truth)
            print(f"{shots:>6}{count:>9}{100 * offline_right / count:>11.2f}{100 * served_right / count:>10.2f}{different:>24}")


def _serve(api: httpx.Client, episode: Episode, novel: ImageSet, originals: Sequence[bytes]) -> list[str]:
    """Creates the episode's task, predicts its queries, removes it."""
    support = episode.support.ravel().tolist()
    created = api.post(
        "/v1/tasks",
        files=[("images", originals[i]) for i in support],
        data={"labels": [novel.classes[novel.labels[i]] for i in support]},
    ).raise_for_status()
    path = created.headers["location"]
    labels: list[str] = []
    query = episode.query.ravel().tolist()
    for start in range(0, len(query), _PER_REQUEST):
        files = [("images", originals[i]) for i in query[start : start + _PER_REQUEST]]
        reply = api.post(f"{path}/predict", files=files).raise_for_status().json()
        labels += [prediction["label"] for prediction in reply["predictions"]]
    api.delete(path).raise_for_status()
    return labels


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.served_accuracy", description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="address of a running server (default %(default)s)")
    parser.add_argument("--bundles-dir", type=Path, default=SHIPPED, help="the server's")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="as for headstart-train evaluate")
    parser.add_argument("--split", default="cifar-fs")
    parser.add_argument("--ways", type=int, default=5)
    parser.add_argument("--shots", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    return parser


if __name__ == "__main__":
    main()
