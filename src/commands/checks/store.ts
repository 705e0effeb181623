import type { RedisConfig } from '../../config/config.ts';
import { probeRedis, type RedisProbe } from '../../store/redis/probe.ts';
import type { TokenSample } from '../../store/redis/token-sample.ts';
import type { Clock } from '../../token/clock.ts';
import { type Text, untranslated } from '../../token/text.ts';
import { type CheckResult, fail, networkProblem, ok, type Problem, warn } from './check-result.ts';

/** Redis says in a word why it takes no writes now. */
function noWrites(code: string): Problem {
  return {
    detail: { en: `it takes no writes now (${code})`, zh: `Redis 目前不接受写入（${code}）` },
    fix: {
      en: 'See the log of Redis. It may be loading its data, have no memory left (maxmemory), or be unable to write to its disk.',
      zh: '查看 Redis 的日志：可能正在加载数据、内存已用完（maxmemory），或无法写入磁盘。',
    },
  };
}

const REDIS = untranslated('Redis');

const WRONG_PASSWORD: Problem = {
  detail: {
    en: 'it requires another user or password than REDIS_URL has',
    zh: 'Redis 要求的用户名或密码与 REDIS_URL 中的不同',
  },
  fix: {
    en: 'Correct them: redis://:password@host or redis://user:password@host. Characters such as @ / : # % must be percent-encoded.',
    zh: '请修正：redis://:password@host 或 redis://user:password@host。其中的 @ / : # % 等字符需做 URL 编码。',
  },
};

const START_SERVERS: Text = {
  en: 'Check that they run at the addresses in REDIS_URL. If they require TLS, add ?tls=true, and set NODE_EXTRA_CA_CERTS if they use a CA of your own. The password of Sentinels must be in ?sentinelPassword=….',
  zh: '检查它们是否在 REDIS_URL 中的各地址上运行。如果要求 TLS，加上 ?tls=true；如果使用自己的 CA，设置 NODE_EXTRA_CA_CERTS。Sentinel 的密码必须写在 ?sentinelPassword=… 中。',
};

/** Its keys are divided by slots, but some scripts use keys of several slots. */
const NODE_OF_CLUSTER: Problem = {
  detail: {
    en: 'it is a node of a Redis Cluster, or a proxy in front of one: the keys of a script must be in one slot',
    zh: '它是 Redis Cluster 的节点，或集群的代理：一个脚本的所有键必须在同一个槽中',
  },
  fix: {
    en: 'Use the scheme for a cluster, with the addresses of its nodes: redis-cluster://host:port,host:port. If there is only a proxy, put REDIS_KEY_PREFIX into braces: docs/production.md#redis-as-a-service.',
    zh: '使用集群的写法，并填写各节点的地址：redis-cluster://host:port,host:port。如果只有代理地址，给 REDIS_KEY_PREFIX 加上花括号：docs/zh/production.md#云上的-redis。',
  },
};

/** By the error code of Redis or of the probe. */
const REDIS_PROBLEMS: Readonly<Record<string, Problem>> = {
  NOAUTH: WRONG_PASSWORD,
  WRONGPASS: WRONG_PASSWORD,
  DENIED: {
    detail: {
      en: 'it accepts connections from its own machine only (DENIED, protected mode)',
      zh: 'Redis 只接受本机的连接（DENIED，保护模式）',
    },
    fix: {
      en: 'Set a password in Redis and add it to REDIS_URL.',
      zh: '为 Redis 设置密码，并写入 REDIS_URL。',
    },
  },
  READONLY: {
    detail: {
      en: 'it is a replica, but the broker must write (READONLY)',
      zh: '它是从节点，而 Broker 需要写入（READONLY）',
    },
    fix: { en: 'Set REDIS_URL to the primary.', zh: '把 REDIS_URL 改为主节点。' },
  },
  MISCONF: noWrites('MISCONF'),
  OOM: noWrites('OOM'),
  LOADING: noWrites('LOADING'),
  MOVED: NODE_OF_CLUSTER,
  CROSSSLOT: NODE_OF_CLUSTER,
  KEYS: {
    detail: {
      en: 'it accepts only scripts in which each key is written as KEYS[…]',
      zh: '它只接受所有键都写成 KEYS[…] 的脚本',
    },
    fix: {
      en: 'Switch this check off (Tair: script_check_enable 0), or use the direct connection with redis-cluster://: docs/production.md#redis-as-a-service.',
      zh: '关闭这项检查（Tair：script_check_enable 设为 0），或使用直连地址和 redis-cluster://：docs/zh/production.md#云上的-redis。',
    },
  },
  UNHEARD: {
    detail: {
      en: 'a message that a script published did not arrive at a subscriber',
      zh: '脚本发布的消息没有到达订阅者',
    },
    fix: {
      en: 'Let all connections reach the same server, without a proxy between: docs/production.md#redis-as-a-service.',
      zh: '让所有连接到达同一台服务器，中间不经过代理：docs/zh/production.md#云上的-redis。',
    },
  },
  NOCLUSTER: {
    detail: {
      en: 'it runs without cluster mode, but REDIS_URL has the scheme for a cluster',
      zh: 'Redis 没有启用集群模式，但 REDIS_URL 用了集群的写法',
    },
    fix: {
      en: 'Use redis:// or rediss:// in REDIS_URL, or switch cluster mode on in Redis (cluster-enabled yes).',
      zh: '在 REDIS_URL 中改用 redis:// 或 rediss://，或启用 Redis 的集群模式（cluster-enabled yes）。',
    },
  },
  CLUSTERDOWN: {
    detail: {
      en: 'the cluster is not ready: some slots have no master that answers, or the user may not see it (CLUSTERDOWN)',
      zh: '集群未就绪：有的槽没有能响应的主节点，或用户无权查看集群状态（CLUSTERDOWN）',
    },
    fix: {
      en: 'Run redis-cli --cluster check HOST:PORT for one of its nodes. Start the nodes that are down, or wait for the failover. With ACLs, the user needs the rights +cluster|info and +cluster|slots.',
      zh: '对任一节点运行 redis-cli --cluster check HOST:PORT。启动不可用的节点，或等待故障切换完成。使用 ACL 时，用户需要 +cluster|info 和 +cluster|slots 权限。',
    },
  },
  NOMASTER: {
    detail: { en: 'the Sentinels know no master of that name', zh: 'Sentinel 不知道这个名称的主节点' },
    fix: {
      en: 'Correct the name at the end of REDIS_URL: redis-sentinel://host:port,host:port/name.',
      zh: '修正 REDIS_URL 末尾的名称：redis-sentinel://host:port,host:port/name。',
    },
  },
  NODATABASE: {
    detail: { en: 'the database in REDIS_URL cannot be selected', zh: '无法选择 REDIS_URL 中的数据库' },
    fix: {
      en: 'Correct its number at the end of REDIS_URL: Redis has databases 0 to 15, unless its setting `databases` differs. With ACLs, the user needs the right +select.',
      zh: '修正 REDIS_URL 末尾的编号：Redis 的数据库为 0 到 15，除非改过它的 `databases` 设置。使用 ACL 时，用户需要 +select 权限。',
    },
  },
  NOSENTINEL: {
    detail: { en: 'no Sentinel answers', zh: '没有 Sentinel 响应' },
    fix: START_SERVERS,
  },
  NONODE: {
    detail: { en: 'no node of the cluster answers', zh: '集群中没有节点响应' },
    fix: START_SERVERS,
  },
};

type Refusal = Pick<Extract<RedisProbe, { connected: true }>, 'refused' | 'said'>;

/** @param code as in `RedisProbe` */
function redisProblem(code: string, address: string, keyPrefix: string, refusal?: Refusal): Problem {
  const { refused = [], said = '' } = refusal ?? {};
  if (code === 'NOPERM' || code === 'REFUSED') {
    const names = refused.join(', ');
    return {
      detail:
        code === 'NOPERM'
          ? { en: 'its user lacks a permission (NOPERM)', zh: '用户缺少权限（NOPERM）' }
          : { en: `it refuses commands of the broker: ${names}`, zh: `Redis 拒绝 Broker 的命令：${names}` },
      fix: {
        en: `Allow them, the keys ${keyPrefix}:* and the channels ${keyPrefix}:*, in scripts too. A managed service may need another setting: docs/production.md#redis-as-a-service. With ACLs, for example: ACL SETUSER … ~${keyPrefix}:* &${keyPrefix}:* +@all -@dangerous +info`,
        zh: `允许这些命令、键 ${keyPrefix}:* 和频道 ${keyPrefix}:*，在脚本中也要允许。云服务可能要修改设置：docs/zh/production.md#云上的-redis。使用 ACL 时，例如：ACL SETUSER … ~${keyPrefix}:* &${keyPrefix}:* +@all -@dangerous +info`,
      },
    };
  }
  if (code === 'ERR') {
    return {
      detail: { en: `it answers a script with: ${said}`, zh: `Redis 对脚本的响应是：${said}` },
      fix: {
        en: 'Check that the server is Redis 6.2 or later with scripts: docs/production.md#redis-as-a-service.',
        zh: '检查服务器是否为支持脚本的 Redis 6.2 或更高版本：docs/zh/production.md#云上的-redis。',
      },
    };
  }
  if (code === 'closed') {
    const { detail, fix } = networkProblem(code, { address, setting: 'REDIS_URL' });
    return {
      detail,
      fix: {
        en: `${fix.en} A proxy that closes connections with INFO or SUBSCRIBE, for example twemproxy, cannot be used.`,
        zh: `${fix.zh}如果代理遇到 INFO 或 SUBSCRIBE 就关闭连接（例如 twemproxy），则无法使用。`,
      },
    };
  }
  return REDIS_PROBLEMS[code] ?? networkProblem(code, { address, setting: 'REDIS_URL' });
}

const CONNECT_TIMEOUT_MS = 4_000;

const SCRIPTS: Text = { en: 'Redis scripts', zh: 'Redis 脚本' };
const SCRIPT_SUCCEEDED: Text = {
  en: 'a script wrote a key and deleted it; a message that it published arrived',
  zh: '脚本写入并删除了一个键；它发布的消息已送达订阅者',
};

/** Checks that the broker can use Redis, that Redis does not lose tokens, and that the broker has their keys. */
export async function checkStore(redis: RedisConfig | undefined, clock: Clock): Promise<CheckResult[]> {
  if (!redis) {
    const detail = {
      en: 'REDIS_URL is not set: this process alone keeps the tokens, and a restart loses them',
      zh: '未设置 REDIS_URL：令牌只保存在本进程内存中，重启后丢失',
    };
    const fix = {
      en: 'Set REDIS_URL, unless you run a single replica for a test.',
      zh: '设置 REDIS_URL。只用单个副本做测试时可以不设。',
    };
    return [warn(REDIS, { detail, fix })];
  }
  // A password may contain an @ that is not percent-encoded: the last one ends it.
  const [, password, address = ''] = /:\/\/(?:[^:/?#]*:?([^/?#]*)@)?([^/?#]*)/.exec(redis.url) ?? [];
  const probe = await probeRedis({ ...redis, timeoutMs: CONNECT_TIMEOUT_MS, clock });
  if (!probe.connected) {
    return [fail(REDIS, redisProblem(probe.trouble, address, redis.keyPrefix)), checkEncryption(redis)];
  }
  const { info, roundTripMs, scriptTrouble, sample, refused, said, isOpen, isVolatile } = probe;
  const version = info.get('redis_version') ?? '?';
  // A writable replica accepts the script, but loses what it wrote at its next synchronisation.
  const scriptError = scriptTrouble ?? (info.get('role') === 'slave' ? 'READONLY' : undefined);
  const connected: Text = {
    en: `connected to ${address} (version ${version}) ${password && !isOpen ? 'with' : 'without'} a password; PING takes ${roundTripMs} ms`,
    zh: `已连接 ${address}（版本 ${version}），${password && !isOpen ? '使用' : '没有'}密码；PING 耗时 ${roundTripMs} 毫秒`,
  };
  return [
    isOpen ? warn(REDIS, openProblem(connected)) : ok(REDIS, connected),
    scriptError
      ? fail(SCRIPTS, redisProblem(scriptError, address, redis.keyPrefix, { refused, said }))
      : ok(SCRIPTS, SCRIPT_SUCCEEDED),
    checkMemory(info),
    ...(isVolatile ? [warn(PERSISTENCE, VOLATILE)] : []),
    checkStoredTokens(redis, sample) ?? checkEncryption(redis),
  ];
}

function openProblem(connected: Text): Problem {
  return {
    detail: {
      en: `${connected.en}. REDIS_URL has a password, but Redis lets everybody in without one`,
      zh: `${connected.zh}。REDIS_URL 中有密码，但 Redis 没有设置密码，任何人都能访问`,
    },
    fix: {
      en: 'Set this password in Redis (requirepass, or ACL SETUSER default off).',
      zh: '在 Redis 中设置这个密码（requirepass，或 ACL SETUSER default off）。',
    },
  };
}

const PERSISTENCE: Text = { en: 'Redis persistence', zh: 'Redis 持久化' };
const VOLATILE: Problem = {
  detail: {
    en: 'neither an append-only file nor snapshots: a restart of Redis loses erasures, so the broker accepts sessions from before them again. Each lost token costs a login',
    zh: '既没有 AOF 也没有快照：Redis 重启后会丢失注销记录，此后 Broker 会重新接受注销之前的会话。每丢失一个令牌，就要多登录一次',
  },
  fix: { en: 'Set appendonly yes in Redis.', zh: '在 Redis 中设置 appendonly yes。' },
};

function checkMemory(info: ReadonlyMap<string, string>): CheckResult {
  const name = { en: 'Redis memory', zh: 'Redis 内存' };
  const policy = info.get('maxmemory_policy');
  if (policy === 'noeviction') {
    return ok(name, { en: 'Redis evicts no keys (noeviction)', zh: 'Redis 不淘汰键（noeviction）' });
  }
  if (policy === undefined) {
    const fix = {
      en: 'Allow the user to run INFO, or make sure that maxmemory-policy is noeviction.',
      zh: '允许该用户执行 INFO，或自行确认 maxmemory-policy 为 noeviction。',
    };
    return warn(name, { detail: { en: 'its policy is unknown', zh: '淘汰策略未知' }, fix });
  }
  const detail = {
    en: `maxmemory-policy ${policy} lets Redis evict erasures: the broker then accepts sessions from before them again. Each evicted token costs a login`,
    zh: `maxmemory-policy ${policy} 会使 Redis 淘汰注销记录：此后 Broker 会重新接受注销之前的会话。每淘汰一个令牌，就要多登录一次`,
  };
  const fix = {
    en: 'Set maxmemory-policy to noeviction, and maxmemory high enough.',
    zh: '把 maxmemory-policy 设为 noeviction，并留足 maxmemory。',
  };
  // Without a limit, Redis evicts nothing yet.
  return info.get('maxmemory') === '0' ? warn(name, { detail, fix }) : fail(name, { detail, fix });
}

const ENCRYPTION: Text = { en: 'token encryption', zh: '令牌加密' };

/** @returns `undefined` if the keys decrypt every stored token that was looked at */
function checkStoredTokens({ encryptionKeys }: RedisConfig, sample: TokenSample): CheckResult | undefined {
  const { lookedAt, inTheClear, unreadable, keyIds } = sample;
  if (unreadable > 0) {
    const isSet = (id: string) => encryptionKeys.some((key) => key.id === id);
    const en = keyIds
      .map((id) => (isSet(id) ? `${id} (another key of this id, unless the tokens are damaged)` : id))
      .join(', ');
    const zh = keyIds.map((id) => (isSet(id) ? `${id}（另一个同名密钥，除非令牌已损坏）` : id)).join('、');
    const detail = {
      en: `no key of TOKEN_ENCRYPTION_KEYS decrypts ${unreadable} of ${lookedAt} stored tokens that were looked at${en && `. They need ${en}`}`,
      zh: `抽查的 ${lookedAt} 个已存令牌中，有 ${unreadable} 个用 TOKEN_ENCRYPTION_KEYS 的任何密钥都无法解密${zh && `，需要 ${zh}`}`,
    };
    const fix = {
      en: 'Use the same TOKEN_ENCRYPTION_KEYS as the other replicas, or append the missing key: docs/key-rotation.md. Otherwise this replica logs in for each of these tokens again, and the others cannot read the new ones. If nobody has the key any more, each token costs one login.',
      zh: '使用与其他副本相同的 TOKEN_ENCRYPTION_KEYS，或把缺少的密钥加在末尾：docs/zh/key-rotation.md。否则本副本会为这些令牌重新登录，而其他副本读不出新的令牌。如果密钥已经丢失，每个令牌要多登录一次。',
    };
    return fail(ENCRYPTION, { detail, fix });
  }
  if (inTheClear === 0) return undefined;
  const detail = {
    en: `${inTheClear} of ${lookedAt} stored tokens that were looked at are not encrypted: with keys, the broker ignores them, and each costs one login`,
    zh: `抽查的 ${lookedAt} 个已存令牌中，有 ${inTheClear} 个未加密：设置密钥后，Broker 会忽略它们，每个令牌要多登录一次`,
  };
  const fix = {
    en: 'Give all replicas the keys at the same time: docs/key-rotation.md.',
    zh: '同时为所有副本设置密钥：docs/zh/key-rotation.md。',
  };
  return warn(ENCRYPTION, { detail, fix });
}

function checkEncryption({ encryptionKeys }: RedisConfig): CheckResult {
  const [first, ...others] = encryptionKeys.map(({ id }) => id);
  if (first === undefined) {
    const detail = {
      en: 'off: anyone who can read Redis or its backups can use the tokens',
      zh: '关闭：能读 Redis 或其备份的人都能使用令牌',
    };
    const fix = {
      en: 'Set TOKEN_ENCRYPTION_KEYS to what this prints: echo "k1:$(openssl rand -base64 32)".',
      zh: '把 TOKEN_ENCRYPTION_KEYS 设为此命令的输出：echo "k1:$(openssl rand -base64 32)"',
    };
    return warn(ENCRYPTION, { detail, fix });
  }
  const older = others.join(', ');
  return ok(ENCRYPTION, {
    en: `AES-256-GCM with key ${first}${older && `; ${older} can still decrypt`}`,
    zh: `AES-256-GCM，密钥 ${first}${older && `；${older} 仍可解密`}`,
  });
}
