"""Words that say nothing about anybody: those of web interfaces, of programs, of pools of threads."""

from __future__ import annotations

import re
from typing import Final

_PATHS: Final = """
about account accounts activate activity add address addresses admin alerts all analytics api archive articles asset
assets attachments auth authorize avatar balance batch billing blog bookings bulk buy calendar callback cancel cart
carts catalog categories category channels charge charges chat check checkout cities city clear clients close code
comments companies config confirm contact content copy count countries create css currency current customer customers
dashboard data delete deliveries delivery detail details device devices diff docs documents done download downloads
edit email emails employees endpoint error events example expenses export exports fast favicon.ico feature features
feed feedback fetch file files filter find folders font fonts forgot form forms friends gallery get graph graphql
group groups hash health healthcheck healthz hello help history home hook hooks icon icons id image images img import
in inbox index index.html info ingest init inventory invoices item items job jobs js json key keys kpi label labels
lang latest like likes limit limits link links list live livez local location locations lock log login logout logs
mail manage map maps me media members menu message messages metadata metric metrics model models move my name new news
next note notes notification notifications oauth oauth2 offers old open openapi.json options order orders org
organizations orgs other out overview page pages password patch path pay payment payments pdf permissions photo photos
ping plan plans poll popular post posts predict predictions preview price prices pricing private process product
products profile profiles project projects public publish purchase queries query queue quote quotes rates read ready
readyz receipts recent recommendations redirect refresh refund refunds region regions register related release reload
remove render report reports request requests reservations reset rest restart results resume reviews robots.txt role
roles root route routes rpc rss run sales save schedule schema search security send server service services session
sessions set settings setup share ship shipments shipping shop show sign signin signout signup sitemap.xml sleep slow
sort source sources start static stats status stock stop store stores stream subscribe subscriptions sum summary
support sync system tables tag tags tasks team teams tenants terms test tests text thread threads thumbnails ticket
tickets time timeline to today token tokens tools top topics total track transactions transfer translate trending
trends type types unlock unread unsubscribe update updates upgrade upload uploads url usage user username users
validate value values verify version versions video videos view views vote votes wait wallet web webhook webhooks
websocket wishlist with work workers workspaces write ws zip
"""
_FILES: Final = """
css csv gif htm html ico jpeg jpg js json jsp map md mp3 mp4 pdf php png svg txt webp woff woff2 xml zip
"""
_PROGRAMS: Final = """
apache2 bash beam.smp celery chrome chromium clickhouse containerd cron curl daphne docker-proxy dockerd envoy etcd
eventlet firefox gevent gunicorn haproxy httpd hypercorn java kafka ksoftirqd kswapd kthreadd kubelet kworker mariadbd
memcached mongod mysqld nats-server nginx node perf perfwatch pgbouncer php-fpm postgres postmaster prometheus py-spy
pytest python python2 python3 rabbitmq-server redis redis-server ruby runc sh sqlite sshd strace stress stress-ng
supervisord systemd systemd-journal systemd-resolve systemd-udevd traefik uvicorn uwsgi varnishd waitress-serve zsh
"""
PATH_WORDS: Final = frozenset(_PATHS.split())
VERSION: Final = re.compile(r"v\d{1,2}(?:\.\d)?|api|rest|rpc|public|internal|private|web")
"""What stands before the first word that says something: `/api/v1/orders`."""
EXTENSIONS: Final = frozenset(_FILES.split())
PROGRAMS: Final = frozenset(_PROGRAMS.split())
THREAD: Final = re.compile(
    r"MainThread|Dummy|Thread|Worker|worker|Timer|asyncio|ThreadPoolExecutor|AnyIO worker thread|QueueFeederThread|"
    r"ExecutorManagerThread|waitress|grpc[\w-]*|grpc_global_tim|Thread-\d+ \([\w.<>]{1,64}\)?|iou-wrk|jemalloc_bg_thd|"
    r"kworker/(?:u?\d+:\d+H?|R)[\w:+.-]*"
)
CGROUPS: Final = re.compile(
    r"(?:system|user|machine|kubepods|init|app|session|background|kubepods-besteffort|kubepods-burstable)"
    r"\.(?:slice|scope)|user-\d+\.slice|session-c?\d+\.scope|user@\d+\.service|docker|kubepods|besteffort|burstable|"
    r"(?:gunicorn|uvicorn|nginx|postgresql|redis|redis-server|docker|containerd|ssh)\.service|"
    r"cpu|memory|pids|lxc|buildkit|podman"
)
_NUMBERED: Final = re.compile(r"[-_#: ./]?\d[\d_./:-]*[a-zH]?\Z")


def unnumbered(name: str) -> str:
    """Return a name without the numbers at its end: `worker-3` and `kworker/0:1` are `worker` and `kworker`."""
    return _NUMBERED.sub("", name)
