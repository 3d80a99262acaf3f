# Computes changepoint.json with scipy and ruptures, which know nothing of the
# code under test: normal scores by scipy's rankdata and norm.ppf; the variance of
# a sum of k of them, and the p-value of the largest scaled sum of a stretch, by
# going through all permutations; and the places of several changes by ruptures'
# dynamic programming on ranks (Dynp, model "rank"), which is told how many there
# are.
import json, itertools
import numpy as np, scipy, ruptures as rpt
from scipy.stats import rankdata, norm
rng=np.random.default_rng(7)
def single_case(v,least):
    n=len(v); sc=norm.ppf(rankdata(v)/(n+1))
    arcs=[(i,j) for i in range(n) for j in range(i+1,n+1)
          if (i==0 or i>=least) and (j==n or n-j>=least) and j-i>=least and j-i<=n-least]
    moments={k:(np.mean(x),np.std(x)) for k in range(1,n) for x in [[sum(c) for c in itertools.combinations(sc,k)]]}
    ii=np.array([i for i,j in arcs]); jj=np.array([j for i,j in arcs])
    mu=np.array([moments[j-i][0] for i,j in arcs]); sd=np.array([moments[j-i][1] for i,j in arcs])
    def z(o):
        s=np.concatenate([[0],np.cumsum(o)])
        return np.abs(s[jj]-s[ii]-mu)/sd
    o=z(sc).max(); hits=tot=0
    for p in itertools.permutations(sc):
        tot+=1; hits+= z(p).max()>=o*(1-1e-9)
    return dict(z=float(o),p=hits/tot)
single=[]
for name,v,least in [
  ("step of 8",[1.0,1.1,0.9,1.05,2.0,2.1,1.9,2.05],2),
  ("no change of 8",[1.0,2.1,0.9,2.05,1.2,2.2,1.9,1.05],2),
  ("edge of 7",[5.0,5.1,1.0,1.1,0.9,1.2,0.8],1),
  ("ties of 8",[1,1,1,1,2,2,2,1],1),
  ("there and back, 8",[1.0,1.1,2.0,2.1,1.9,1.2,0.9,1.05],1),
  ("ramp of 7",[1,2,3,4,5,6,7],1)]:
    single.append(dict(name=name,values=[float(x) for x in v],least=least,**single_case(v,least)))
several=[]
def add(name,parts,sd):
    v=np.concatenate([m*np.exp(rng.normal(0,sd,n)) for m,n in parts]); v=np.round(v,6)
    r=rankdata(v)
    bk=rpt.Dynp(model="rank",min_size=3,jump=1).fit(v.reshape(-1,1)).predict(n_bkps=len(parts)-1)[:-1] if len(parts)>1 else []
    several.append(dict(name=name,values=v.tolist(),changes=[int(x) for x in bk]))
add("one step",[(100,30),(115,30)],.02)
add("warm-up",[(140,4),(100,56)],.02)
add("there and back",[(100,40),(120,25),(100,35)],.03)
add("four levels",[(100,20),(80,20),(130,20),(100,20)],.04)
add("none",[(100,80)],.03)
json.dump(dict(source="scipy %s, ruptures %s, by changepoint.py"%(scipy.__version__,rpt.__version__),single=single,several=several),open("changepoint.json","w"),indent=1)
for s in single: print(s["name"],round(s["p"],4),s["z"])
for s in several: print(s["name"],s["changes"])
