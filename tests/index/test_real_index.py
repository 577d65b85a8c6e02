"""The index that pip is configured to use, asked for real projects."""

import tomllib

import pytest
from packaging.pylock import Pylock

from pyti.config import IndexSettings
from pyti.errors import NoSuchDistribution
from pyti.index import Downloads, IndexClient, PreparedMetadata, resolve, select_distributions
from pyti.messages import FileChoice

pytestmark = pytest.mark.index


@pytest.fixture
async def real(tmp_path):
    settings = IndexSettings()
    async with IndexClient(settings, cache=tmp_path) as client:
        yield client, Downloads(client, tmp_path, settings)


@pytest.fixture
def tested(real, target):
    """Select, download, resolve; guests answer that there is nothing to add, as is known of docopt."""
    client, downloads = real

    async def go(requirement, choice=FileChoice.AUTO):
        asked = []

        async def prepare(dist, path, wheelhouse):
            asked.append(dist.filename)
            assert any(file.name.startswith("setuptools-") for file in wheelhouse)
            text = f"Metadata-Version: 2.1\nName: {dist.name}\nVersion: {dist.version}\n"
            return PreparedMetadata(text.encode(), build_requires=["wheel"])

        (root,) = await select_distributions(client, requirement, choice, target)
        path = await downloads.fetch(root.url, root.sha256, root.size, root.filename)
        resolution = await resolve(
            root, path, target=target, client=client, downloads=downloads, prepare=prepare, settings=client.settings
        )
        Pylock.from_dict(tomllib.loads(resolution.lock))
        return resolution, {file.name: file for file in resolution.files}, asked

    return go


async def test_a_pure_wheel_with_dependencies(tested):
    _, files, asked = await tested("requests")
    assert {"requests", "urllib3", "idna", "certifi", "charset-normalizer"} <= set(files)
    assert not asked
    assert all(file.kind == "wheel" for file in files.values())


async def test_an_sdist_with_a_setup_script_only(tested):
    resolution, files, asked = await tested("docopt==0.6.2", FileChoice.SDIST)
    assert asked == ["docopt-0.6.2.tar.gz"]
    assert files["docopt"].role == "root"
    assert {"setuptools", "wheel"} <= set(files)
    assert resolution.stats.prepared == 1


async def test_an_sdist_with_a_c_extension(tested):
    resolution, files, asked = await tested("markupsafe", FileChoice.SDIST)
    assert files["setuptools"].role == "build"
    assert "pytest" in " ".join(resolution.test_requirements)
    assert not asked


async def test_a_big_wheel_for_the_target(tested):
    _, files, _ = await tested("numpy")
    assert files["numpy"].filename.endswith(".whl")
    assert "-cp311-" in files["numpy"].filename
    assert files["numpy"].size > 5_000_000


@pytest.mark.parametrize("requirement", ["pyti-no-such-project-9f3a", "six==99.0"])
async def test_unknown_projects_and_versions(real, target, requirement):
    client, _ = real
    with pytest.raises(NoSuchDistribution):
        await select_distributions(client, requirement, FileChoice.AUTO, target)
